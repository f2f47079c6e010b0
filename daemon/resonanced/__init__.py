# SPDX-License-Identifier: MIT
"""The daemon: measures with `resonance_bpf`, serves metrics and hints, and tunes where asked.

What to change it decides with `resonance_tuning`; only the actuator, a process of that room,
changes it. Where periodic work is to be it decides with `resonance_core`; the programs whose
work it is move it themselves.

Layers, each using only what stands below it::

    cli                         the command
    verbs, check, announcement  what an operator asks, and is told
    service                     the unprivileged child: joins the rooms, one loop
    keeper                      the privileged parent: load, watch over, take back
    actuator, runtime           the keeper's side of the actuator; the runtime directory
    link, privileges            what keeper and daemon need of each other and of the host
    config                      defaults < file < flags
    signals  hints  telemetry   rooms, and tuning, phase; none knows another
    model, errors, sockets      records; what a path of a socket may be
"""
