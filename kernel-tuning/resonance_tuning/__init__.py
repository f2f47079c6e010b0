# SPDX-License-Identifier: MIT
"""Kernel settings that can be turned and taken back exactly.

From the ground up; nothing imports upwards:

- `errors`, `records`: the words everybody uses. `host`: the kernel's files.
- `knob`: what every knob can do; `knobs`: one file per kernel surface.
- `journal`: what was there, on disk before the kernel is touched (`journal_file`: its bytes).
- `tuner`: all of a profile or none; undo newest first, only what is still ours. `rollback`:
  all of it, with whatever is left of us.
- `profiles`, `requirements`, `guard`: what an operator wants, of which host, how carefully.
- `matching`, `groups`, `protection`, `placement`, `other_tuners`: whom it concerns, who is
  never touched, which CPUs, who else turns the same knobs.
- `planner`: all of these into settings (`candidates`), what stands against each
  (`objections`), and why the others are made (`reasons`).
- `actuator`: the one process that writes. `session` is what may be asked of it, `wire` the
  words; `needs` and `capabilities` what it keeps of root; `uevents` and `starvation` what it
  hears by itself; `ownership` whose a change is; `link` and `async_link` how others ask.
- `evidence`, `strategy`: does a change help, and which would be next? Pure, and never in the
  actuator.

The first four and ``python -m resonance_tuning`` (rollback) need the standard library only.
"""
