# SPDX-License-Identifier: MIT
"""What can be wrong with an input.

::

    CoreError                     all of them; also a ValueError
      InvalidSampleError          a sample or parameter is empty, not finite or out of range
      PositiveCycleError          a max-plus star does not exist: some cycle has a positive mean
      UnstableQueueError          work arrives faster than it is served: the bound is infinite
      NoPlacementError            no phases can be computed: no source has work
      SourceRefusedError          a source cannot be registered
"""

from __future__ import annotations

__all__ = [
    "CoreError",
    "InvalidSampleError",
    "NoPlacementError",
    "PositiveCycleError",
    "SourceRefusedError",
    "UnstableQueueError",
]


class CoreError(ValueError):
    """Something that was passed in has no answer; the input is never changed."""


class InvalidSampleError(CoreError):
    """An argument is empty, not finite, or out of range.

    Parameters
    ----------
    name : str
        The argument.
    reason : str
        What is wrong with it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class PositiveCycleError(CoreError):
    """The star of a max-plus matrix does not exist.

    Parameters
    ----------
    cycle : tuple of int
        Nodes of a cycle whose weights add up to more than zero.
    mean : float
        Their sum by the number of edges.
    """

    def __init__(self, cycle: tuple[int, ...], mean: float) -> None:
        super().__init__(cycle, mean)
        self.cycle = cycle
        self.mean = mean

    def __str__(self) -> str:
        nodes = " -> ".join(map(str, (*self.cycle, self.cycle[0])))
        return f"the star does not exist: the cycle {nodes} has the mean {self.mean:g} > 0"


class UnstableQueueError(CoreError):
    """Work arrives at a higher rate than it is served, so no finite bound holds.

    Parameters
    ----------
    arrival_rate, service_rate : float
        In the same unit.
    """

    def __init__(self, arrival_rate: float, service_rate: float) -> None:
        super().__init__(arrival_rate, service_rate)
        self.arrival_rate = arrival_rate
        self.service_rate = service_rate

    def __str__(self) -> str:
        return (
            f"arrivals at {self.arrival_rate:g} exceed the service rate {self.service_rate:g}: "
            "the bound is infinite"
        )


class NoPlacementError(CoreError):
    """No source has work, so every placement is as good as another."""

    def __str__(self) -> str:
        return "no source has work to place"


class SourceRefusedError(CoreError):
    """A source cannot be registered.

    Parameters
    ----------
    name : str
        The source.
    reason : str
        Why not, and what to do next.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"source {self.name!r}: {self.reason}"
