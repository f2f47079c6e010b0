# SPDX-License-Identifier: MIT
"""How are numbers and names written, and how do labels keep out of each other's way?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor, log10

from resonance.bench.statistics import Estimate

__all__ = [
    "apart",
    "decades",
    "duration_text",
    "estimate_text",
    "milliseconds_text",
    "plain",
    "ratio_text",
    "share_text",
    "shortened",
]

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_STEPS = ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
_MOST_TICKS = 7


def plain(text: str) -> str:
    r"""Return what somebody else wrote, in one line and without what steers a reader's screen.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> plain("a\33[2Jb\n$c$")
    'a?[2Jb?$c$'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def shortened(name: str, letters: int) -> str:
    """Cut a name in its middle, because both its ends tell arms apart.

    Parameters
    ----------
    name : str
    letters : int
        At most; 3 or more.

    Returns
    -------
    str

    Examples
    --------
    >>> shortened("guarded hedge, one client", 15), shortened("p2c", 15)
    ('guarded…client', 'p2c')
    """
    name = plain(name)
    if len(name) <= letters:
        return name
    head = letters // 2
    return f"{name[:head].rstrip(' ,')}…{name[len(name) - (letters - head - 1) :].lstrip(' ,')}"


def duration_text(seconds: float) -> str:
    """Write a duration of an axis, with no digit that says nothing.

    Parameters
    ----------
    seconds : float
        0 or more.

    Returns
    -------
    str

    Examples
    --------
    >>> duration_text(0.0005), duration_text(0.02), duration_text(2.0), duration_text(0.0)
    ('500 µs', '20 ms', '2 s', '0')
    """
    if seconds == 0.0:
        return "0"
    of, unit = next((each for each in _UNITS if seconds >= each[0] * 0.9995), _UNITS[-1])
    return f"{seconds / of:.3g} {unit}"


def milliseconds_text(seconds: float) -> str:
    """Write a latency in milliseconds, with three digits.

    Parameters
    ----------
    seconds : float

    Returns
    -------
    str

    Examples
    --------
    >>> [milliseconds_text(each) for each in (0.0000123, 0.00123, 0.0123, 0.123, 1.5)]
    ['0.012', '1.23', '12.3', '123', '1,500']
    """
    value = seconds * 1e3
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def ratio_text(ratio: float) -> str:
    """Write a ratio, with two digits at least.

    Parameters
    ----------
    ratio : float

    Returns
    -------
    str

    Examples
    --------
    >>> [ratio_text(each) for each in (0.0034, 0.058, 0.5, 1.013, 12.3, 470.0)]
    ['0.003', '0.058', '0.50', '1.01', '12', '470']
    """
    if ratio >= 9.95:
        return f"{ratio:.0f}"
    return f"{ratio:.2f}" if ratio >= 0.0995 else f"{ratio:.3f}"


def estimate_text(estimate: Estimate) -> str:
    """Write a ratio with its interval.

    Parameters
    ----------
    estimate : Estimate

    Returns
    -------
    str

    Examples
    --------
    >>> estimate_text(Estimate(0.5, 0.43, 0.61))
    '0.50 (0.43–0.61)'
    """  # noqa: RUF002 - a span of numbers is written so
    span = f"{ratio_text(estimate.low)}–{ratio_text(estimate.high)}"  # noqa: RUF001
    return f"{ratio_text(estimate.ratio)} ({span})"


def share_text(share: float) -> str:
    """Write a share in per cent; a small one that is not zero does not look like it.

    Parameters
    ----------
    share : float

    Returns
    -------
    str

    Examples
    --------
    >>> [share_text(each) for each in (0.0, 0.0004, 0.031, 1.0)]
    ['0 %', '0.04 %', '3.1 %', '100 %']
    """
    percent = share * 100.0
    if percent == 0.0:
        return "0 %"
    digits = 2 if abs(percent) < 0.1 else 1 if abs(percent) < 10.0 else 0
    return f"{percent:.{digits}f} %"


def decades(low: float, high: float, *, most: int = _MOST_TICKS) -> list[float]:
    """Return where a logarithmic axis has its ticks: as many as it has room for.

    Parameters
    ----------
    low, high : float
        The ends, above 0.
    most : int
        Ticks that fit.

    Returns
    -------
    list of float

    Examples
    --------
    >>> decades(0.8, 30.0)
    [1.0, 2.0, 5.0, 10.0, 20.0]
    """
    found: list[float] = []
    for steps in _STEPS:
        found = [each for each in _ticks(low, high, steps) if low <= each <= high]
        if len(found) <= most:
            return found
    return found[:: -(-len(found) // most)]


def _ticks(low: float, high: float, steps: Sequence[float]) -> Iterator[float]:
    for power in range(floor(log10(low)), floor(log10(high)) + 1):
        for step in steps:
            yield float(f"{step:g}e{power}")


def apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return where labels stand that want to be at `places`, none nearer than `gap` to another.

    Parameters
    ----------
    places : sequence of float
        In any order.
    gap : float
        Made less where all together have no room.
    low, high : float
        The ends of the room.

    Returns
    -------
    list of float
        In the order of `places`.

    Examples
    --------
    >>> apart([5.0, 5.0, 0.0], 2.0, 0.0, 10.0)
    [4.0, 6.0, 0.0]
    """
    if len(places) > 1:
        gap = min(gap, (high - low) / (len(places) - 1))
    order = sorted(range(len(places)), key=lambda place: (places[place], place))
    groups: list[tuple[float, int]] = []  # the middle of what stands together, and how many
    for index in order:
        middle, size = _within(places[index], 1, gap, low, high), 1
        while groups and groups[-1][0] + (groups[-1][1] + size) * gap / 2.0 > middle + 1e-12:
            other, more = groups.pop()
            middle = (middle * size + other * more) / (size + more)
            size += more
            middle = _within(middle, size, gap, low, high)
        groups.append((middle, size))
    stands = [
        middle + (place - (size - 1) / 2.0) * gap
        for middle, size in groups
        for place in range(size)
    ]
    found = [0.0] * len(places)
    for index, stand in zip(order, stands, strict=True):
        found[index] = stand
    return found


def _within(middle: float, size: int, gap: float, low: float, high: float) -> float:
    half = (size - 1) * gap / 2.0
    return min(max(middle, low + half), high - half)
