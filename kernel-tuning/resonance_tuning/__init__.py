# SPDX-License-Identifier: MIT
"""Kernel settings that can be turned and taken back exactly.

From the ground up; nothing imports upwards:

- `errors`, `records`: the words everybody uses. `host`: the kernel's files. `settings`,
  `guard`: what an operator may choose. `capabilities`: what a process keeps of root.
- `knob`: what every knob can do; `knobs`: one file per kernel setting; `surfaces`: what
  several of them share.
- `journal`: what was there, on disk before the kernel is touched; `ownership`: whose it is.
- `tuner`: all of a profile or none; undo newest first, only what is still ours. `rollback`:
  the same after a crash.
- `planning`: what is wanted, as settings of this host.
- `actuator`: the one process that writes. `trials`: does a change help? They never meet.

``python -m resonance_tuning`` (rollback) needs the standard library only.
"""
