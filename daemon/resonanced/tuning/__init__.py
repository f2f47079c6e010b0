# SPDX-License-Identifier: MIT
"""Does what is turned help? Joins what is seen, what may be changed, and who changes it.

::

    loop       the evidence loop: snapshots in, requests to the actuator out
      ledger   what came of them, counted; the `model.Tuning` that telemetry and hints show
      samples  the latency-critical cgroups out of a snapshot, as the strategy wants them
      patterns which cgroups need a slot for that
      load     how busy those are and whether batch work starves, from the kernel's files

What to change is decided in ``resonance_tuning.trials.strategy``, which has no clock; what is
written is written by the actuator, another process, which plans for itself. In mode observe
only `patterns` is imported.
"""
