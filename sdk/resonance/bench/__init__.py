# SPDX-License-Identifier: MIT
"""What did it gain on this machine? Open-loop load, paired comparison, and the proof of our own.

The layers, top first::

    reference     the experiment behind our own claims
    report        one page of HTML, pictures, and the lines of a README
    comparing     arms of a scene beside its baseline, and gates
    foreign       scripts for wrk2 and k6, and their results as ours
    scenarios     a load written down in TOML
    load          sends what is due, when it is due, and notes what became of it
    digest        from moments to a slot: histograms, timeline, doubts
    plan          what is to be sent, where, how often, for how long
    records       what is written down, and read again
    statistics    ratios, intervals, the sign test
    machine       on what it was measured
    files         whole, or as they were
    errors        what a measurement can fail with

Latency is counted from when a call was due, not from when it could be sent: what waits for a
connection, or for a generator that is late, has waited all the same. What cannot be believed is
not printed.
"""

from __future__ import annotations
