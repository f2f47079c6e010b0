# SPDX-License-Identifier: MIT
"""When is everything done, and what holds it up? The longest chain of a graph of tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from resonance_core.calculus.arguments import non_negative, positive
from resonance_core.errors import InvalidSampleError

__all__ = ["Schedule", "graham_bound", "makespan"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the tasks of a graph are done if none waits for a processor.

    Attributes
    ----------
    makespan : float
        The longest chain of durations.
    starts : dict of str to float
        Earliest start of each task.
    slack : dict of str to float
        How much later each may start without delaying the end; 0 on a longest chain.
    """

    makespan: float
    starts: dict[str, float]
    slack: dict[str, float]


def makespan(durations: Mapping[str, float], edges: Iterable[tuple[str, str]]) -> Schedule:
    """Lay tasks out in time, each as soon as those before it are done.

    Parameters
    ----------
    durations : mapping of str to float
        Time, zero or more, of each task.
    edges : iterable of (str, str)
        Before, after.

    Returns
    -------
    Schedule

    Raises
    ------
    InvalidSampleError
        A duration is negative or not finite, an edge names an unknown task, or tasks wait for
        each other.

    References
    ----------
    .. [1] Kelley, "Critical-path planning and scheduling: mathematical basis", Operations Research
       9 (1961), doi:10.1287/opre.9.3.296.
    """
    for task, duration in durations.items():
        non_negative(f"durations[{task!r}]", duration)
    before: dict[str, list[str]] = {task: [] for task in durations}
    for earlier, later in edges:
        for task in (earlier, later):
            if task not in before:
                raise InvalidSampleError("edges", f"{task!r} has no duration")
        before[later].append(earlier)
    try:
        order = tuple(TopologicalSorter(before).static_order())
    except CycleError as error:
        raise InvalidSampleError("edges", f"a cycle: {' -> '.join(error.args[1])}") from error
    starts: dict[str, float] = {}
    for task in order:
        starts[task] = max((starts[each] + durations[each] for each in before[task]), default=0.0)
    end = max((starts[task] + durations[task] for task in order), default=0.0)
    latest = dict.fromkeys(order, end)  # when each must be done
    for task in reversed(order):
        for each in before[task]:
            latest[each] = min(latest[each], latest[task] - durations[task])
    slack = {task: latest[task] - durations[task] - starts[task] for task in order}
    return Schedule(end, starts, slack)


def graham_bound(work: float, span: float, processors: float) -> float:
    """Return a makespan that no greedy schedule exceeds.

    Parameters
    ----------
    work : float
        All durations together, zero or more.
    span : float
        The longest chain, in the same unit; at most `work`.
    processors : float
        p, at least 1.

    Returns
    -------
    float
        work/p + span (1 - 1/p), in the same unit.

    Raises
    ------
    InvalidSampleError
        Negative, not finite, or out of these ranges.

    References
    ----------
    .. [1] Graham, "Bounds on multiprocessing timing anomalies", SIAM Journal on Applied
       Mathematics 17 (1969), doi:10.1137/0117039.
    """
    total, chain = non_negative("work", work), non_negative("span", span)
    if chain > total:
        raise InvalidSampleError("span", "must be at most the work")
    if positive("processors", processors) < 1.0:
        raise InvalidSampleError("processors", "must be at least 1")
    return total / processors + chain * (1.0 - 1.0 / processors)
