# SPDX-License-Identifier: MIT
"""How long did it take, kept so that its tail can be read?

::

    latencies = resonance.histogram.Histogram()
    latencies.record(0.0123)  # seconds; an append to a list
    latencies.quantile(0.999)

    with open("run.hlog", "w") as file:  # for every viewer of HdrHistogram
        log = LogWriter(file, started_at=time.time())
        ...
        log.write(latencies.take(), started_at, seconds)

The layers, top first::

    _merging      many logs as one
    _log          a run, interval by interval, in a file
    _rotating     the last windows of time
    _histogram    what is recorded into and read
    _folding      who takes in what was recorded
    _hdr          the one door to the package hdrhistogram: encoded text, and back
    _pending      what was recorded and is not in its bucket yet
    _tally        counts by bucket, and what follows from them
    _cells        thousands of values sorted at once
    _layout       which values share a bucket

What policies decide by is not this but `resonance.policies`' own window: of a few seconds, with
attempts that were cut short, and without three digits.
"""

from __future__ import annotations

from resonance.histogram._errors import FormatError
from resonance.histogram._histogram import Bucket, Histogram
from resonance.histogram._layout import Layout
from resonance.histogram._log import Interval, LogWriter, read_log
from resonance.histogram._merging import Merged, merge_logs
from resonance.histogram._rotating import Rotating
from resonance.histogram._tally import Quantiles

__all__ = [
    "Bucket",
    "FormatError",
    "Histogram",
    "Interval",
    "Layout",
    "LogWriter",
    "Merged",
    "Quantiles",
    "Rotating",
    "merge_logs",
    "read_log",
]
