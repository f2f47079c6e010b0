# SPDX-License-Identifier: MIT
"""The mathematics of rhythm and queues: the same answer for the same input, always.

The layers, top first; each imports only those below it::

    simulation   queues in discrete events that drive the shipped controller
    control      when to move which source, how far, and when to take it back
    spectral     is there a period, who makes it, did it change
    calculus     phasors, max-plus, log-sum-exp, curves of work, tails

Nothing here reads a clock, a file or the kernel, and nothing logs: times come in as arguments,
findings go out as records. That is what lets the daemon, an application and a simulation drive
the same code. It needs numpy, and scipy where a function says so (the extra ``[core]``).
"""
