# SPDX-License-Identifier: MIT
"""The daemon: measures with `resonance_bpf`, serves metrics and hints, changes nothing.

Layers, each using only what stands below it::

    cli                         verbs
    keeper                      the privileged parent: load, watch over, take back
    service                     the unprivileged child: joins the rooms, one loop
    signals  hints  telemetry   rooms; none knows another
    link, runtime, privileges   what the two processes need of each other and of the host
    config                      defaults < file < flags
    model, errors               records
"""
