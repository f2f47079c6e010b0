# SPDX-License-Identifier: MIT
"""How are durations, counts and cgroup paths written in few columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = [
    "count_text",
    "cpus_text",
    "duration_text",
    "moment_text",
    "path_text",
    "quantity_text",
    "safe_text",
]

_DURATIONS = ((1e-6, 1e9, "ns"), (1e-3, 1e6, "us"), (1.0, 1e3, "ms"), (1e4, 1.0, "s"))
_LEAST_SECONDS = 0.5e-9
_COUNTS = ((1e3, 1.0, ""), (1e6, 1e-3, "k"), (1e9, 1e-6, "M"))


def duration_text(duration_seconds: float | None) -> str:
    """Write a duration with three digits in at most six columns.

    >>> [duration_text(value) for value in (5e-9, 1.024e-06, 0.0123, 75.0, None)]
    ['5ns', '1.02us', '12.3ms', '75.0s', '-']
    """
    if duration_seconds is None or math.isnan(duration_seconds):
        return "-"
    if math.isinf(duration_seconds):
        return "inf"
    for below, factor, unit in _DURATIONS:
        if duration_seconds < below * 0.9995:
            return _digits(duration_seconds * factor, is_whole=unit == "ns") + unit
    return f"{duration_seconds / 3600:.0f}h"


def moment_text(moment_seconds: float) -> str:
    """Write a point in time, which may be the very beginning; before it with a sign.

    >>> moment_text(0.0), moment_text(1e-12), moment_text(-0.002)
    ('0', '0', '-2.00ms')
    """
    if abs(moment_seconds) < _LEAST_SECONDS:
        return "0"
    return ("-" if moment_seconds < 0.0 else "") + duration_text(abs(moment_seconds))


def count_text(count: float | None) -> str:
    """Write a count or rate with three digits in at most five columns.

    >>> [count_text(value) for value in (0, 0.25, 950, 12_345, 3e6, None)]
    ['0', '0.25', '950', '12.3k', '3.00M', '-']
    """
    if count is None:
        return "-"
    for below, factor, unit in _COUNTS:
        if count < below * 0.9995:
            return _digits(count * factor, is_whole=not unit and float(count).is_integer()) + unit
    return f"{count / 1e9:.0f}G"


def cpus_text(cpus: Sequence[int], columns: int) -> str:
    """Write CPUs in ascending order as the kernel lists them, cut from the right.

    >>> cpus_text((0, 1, 2, 5), 10), cpus_text((0, 2, 4, 6), 5)
    ('0-2,5', '0,2,…')
    """
    spans: list[list[int]] = []
    for cpu in cpus:
        if spans and cpu == spans[-1][1] + 1:
            spans[-1][1] = cpu
        else:
            spans.append([cpu, cpu])
    text = ",".join(f"{a}-{b}" if a != b else f"{a}" for a, b in spans)
    return text if len(text) <= columns else f"{text[: columns - 1]}…"


def path_text(path: str, columns: int) -> str:
    r"""Cut a path from the left, because its end tells cgroups apart.

    Whoever may make a cgroup names it: what would steer the terminal is not written.

    >>> path_text("/system.slice/web.service", 12), path_text("/\33[2J", 12)
    ('…web.service', '/?[2J')
    """
    path = safe_text(path)
    return path if len(path) <= columns else f"…{path[len(path) - columns + 1 :]}"


def safe_text(text: str) -> str:
    r"""Return what somebody else named, without what would steer the terminal.

    >>> safe_text("a\33[2Jb")
    'a?[2Jb'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def quantity_text(name: str, value: float) -> tuple[str, str]:
    """Split a quantity whose name ends with its unit into a label and a short text.

    >>> quantity_text("period_seconds", 0.1), quantity_text("phase_rad", math.pi / 2)
    (('period', '100ms'), ('phase', '90 deg'))
    >>> quantity_text("predicted_ratio", 0.116), quantity_text("releases", 128.0)
    (('predicted ratio', '0.12'), ('releases', '128'))
    """
    unit = next((unit for unit in ("_seconds", "_rad", "_hz") if name.endswith(unit)), "")
    label = name.removesuffix(unit).replace("_", " ")
    return label, _valued(value, unit)


def _valued(value: float, unit: str) -> str:
    if math.isnan(value):
        return "-"
    if unit == "_seconds":
        return moment_text(value)
    if unit == "_rad":
        return f"{round(math.degrees(value)) % 360} deg"
    if unit == "_hz":
        return f"{value:.3g} Hz"
    return f"{value + 0.0:.0f}" if value.is_integer() else f"{value:.2g}"


def _digits(value: float, *, is_whole: bool) -> str:
    if is_whole or value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
