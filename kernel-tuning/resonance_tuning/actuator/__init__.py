# SPDX-License-Identifier: MIT
"""The one process that writes to the kernel, and how others ask it.

From the ground up: `wire`, the words; `uevents`, `poller` and `pressure_trigger`, what can be
waited for; `needs`, what it keeps of root; `channel` and `starvation`; `session`, what may be
asked; `process`, the order of things. `link` and `async_link` are for those who ask.
"""
