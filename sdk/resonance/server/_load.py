# SPDX-License-Identifier: MIT
"""What does a server say of its load, and how is that written? ORCA reports over HTTP.

A report travels with a reply, in the header ``endpoint-load-metrics``: ``JSON`` and an object,
or ``TEXT`` and a list. Text has two spellings, ``name=value`` in the design document and
``name:value`` in the Envoy proxy; so JSON, which everybody reads alike, is what is written
unless the caller asked for text, and both spellings are read.

References
----------
"Open Request Cost Aggregation", envoyproxy/envoy issue 6614; ``orca_load_report.proto`` in
``cncf/xds``; gRPC proposals A51 and A58.
"""

from __future__ import annotations

from math import isfinite
from typing import Final

import msgspec

__all__ = [
    "LOAD_FORMAT_HEADER",
    "LOAD_HEADER",
    "RUNQUEUE_PRESSURE",
    "LoadReport",
    "parse_load",
]

LOAD_HEADER: Final = "endpoint-load-metrics"
LOAD_FORMAT_HEADER: Final = "endpoint-load-metrics-format"
"""In a request: ``text`` or ``json``, whatever the case."""
RUNQUEUE_PRESSURE: Final = "runqueue_pressure"
"""The named metric: share of time that tasks of the server's cgroup wait for a CPU, 0 to 1."""

_NAMED: Final = "named_metrics."
_CAMEL_CASE: Final = {
    "applicationUtilization": "application_utilization",
    "cpuUtilization": "cpu_utilization",
    "memUtilization": "mem_utilization",
    "namedMetrics": "named_metrics",
    "rpsFractional": "rps_fractional",
}
"""How libraries of protocol buffers write the names in JSON by default."""


class LoadReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How loaded a server is; what it does not know is ``None`` and is not sent.

    Attributes
    ----------
    cpu_utilization : float or None
        CPU time used by the CPU time it could use, 0 and up.
    mem_utilization : float or None
        The same of memory.
    application_utilization : float or None
        Requests in service by those it can serve at once; above 1 with those that wait.
    rps_fractional : float or None
        Requests in a second.
    eps : float or None
        Of these, errors.
    named_metrics : dict of str to float
        What else it has to say; `RUNQUEUE_PRESSURE` is ours.
    """

    cpu_utilization: float | None = None
    mem_utilization: float | None = None
    application_utilization: float | None = None
    rps_fractional: float | None = None
    eps: float | None = None
    named_metrics: dict[str, float] = {}

    @property
    def runqueue_pressure(self) -> float | None:
        """Share of time that its tasks wait for a CPU, where it told."""
        return self.named_metrics.get(RUNQUEUE_PRESSURE)

    @property
    def utilization(self) -> float | None:
        """What balancers weigh it by: the application's figure, else the CPU's (gRPC A58)."""
        return self.application_utilization or self.cpu_utilization

    def to_json(self) -> str:
        """Return the value of the header, as JSON."""
        return f"JSON {msgspec.json.encode(self).decode()}"

    def to_text(self) -> str:
        """Return the value of the header, as text."""
        known = msgspec.to_builtins(self)
        named = known.pop("named_metrics", {})
        pairs = {**known, **{f"{_NAMED}{name}": value for name, value in named.items()}}
        return "TEXT " + ", ".join(f"{name}={value!r}" for name, value in pairs.items())


def parse_load(value: str) -> LoadReport | None:
    """Read the value of the header.

    Parameters
    ----------
    value : str

    Returns
    -------
    LoadReport or None
        ``None`` for what cannot be read: a reply must not fail for it. What is not known here,
        such as costs of single requests, is left out.

    Examples
    --------
    >>> load = parse_load("TEXT cpu_utilization=0.3, named_metrics.runqueue_pressure:0.1")
    >>> load.utilization, load.runqueue_pressure
    (0.3, 0.1)
    >>> parse_load("BIN CZqZ") is None
    True
    """
    form, _, content = value.partition(" ")
    try:
        if form == "JSON":
            return _checked(_parse_json(content))
        return _checked(_parse_text(content)) if form == "TEXT" else None
    except (msgspec.MsgspecError, ValueError):
        return None


def _parse_json(content: str) -> LoadReport:
    told = msgspec.json.decode(content, type=dict[str, object])
    fields = {_CAMEL_CASE.get(name, name): value for name, value in told.items()}
    return msgspec.convert(fields, LoadReport)


def _parse_text(content: str) -> LoadReport:
    named: dict[str, float] = {}
    fields: dict[str, object] = {"named_metrics": named}
    for pair in content.split(","):
        name, _, number = pair.strip().replace(":", "=", 1).partition("=")
        if name.startswith(_NAMED):
            named[name.removeprefix(_NAMED)] = float(number)
        else:
            fields[name] = float(number)
    return msgspec.convert(fields, LoadReport)


def _checked(report: LoadReport) -> LoadReport:
    """Refuse numbers that no load can have."""
    known = msgspec.to_builtins(report)
    named = known.pop("named_metrics", {})
    loads = known.values()
    if not all(isfinite(each) and each >= 0 for each in loads):
        raise ValueError(loads)
    if not all(isfinite(each) for each in named.values()):
        raise ValueError(named)
    return report
