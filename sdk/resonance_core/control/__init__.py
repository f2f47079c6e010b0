# SPDX-License-Identifier: MIT
"""When is which source moved, how far, and when is it taken back?

`controller.Controller` is the whole of it for a caller; `records` and `parameters` are what it
speaks in.
"""
