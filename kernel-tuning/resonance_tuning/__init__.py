# SPDX-License-Identifier: MIT
"""Kernel settings that can be turned and taken back exactly.

From the ground up; nothing imports upwards:

- `errors`, `records`: the words everybody uses. `host`: the kernel's files.
- `knob`: what every knob can do; `knobs`: one file per kernel surface.
- `journal`: what was there, on disk before the kernel is touched.
- `tuner`: all of a profile or none; undo newest first, only what is still ours.
- `profiles`, `matching`, `protection`, `placement`, `other_tuners`: what an operator wants,
  whom it concerns, who is never touched, which CPUs, who else turns the same knobs.
- `planner`: all of these into settings, and the reason of each.
- `actuator`: the one process that writes; `link` is how others talk to it.
- `evidence`, `strategy`: does a change help, and which would be next? Pure, and never in the
  actuator.

The first four and ``python -m resonance_tuning`` (rollback) need the standard library only.
"""
