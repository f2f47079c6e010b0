# SPDX-License-Identifier: MIT
"""Why is a source where it is, and what holds for the whole node? In sentences, with numbers."""

from __future__ import annotations

from itertools import islice
from typing import Final

from resonance_api.phase.v1 import phase_pb2
from resonance_core.control.records import GroupState
from resonanced.phase.attendance import Attended
from resonanced.phase.registry import Registry

__all__ = ["group_line", "response"]

_MOST_ANSWERS: Final = 32
"""Sources of one answer: as many as a person reads, and a tick is not late for them; chosen."""
_MODES: Final = {
    "observe": "The mode is observe: phases are estimated, and nothing is moved.",
    "shadow": "The mode is shadow: all is decided as in active, and nothing is moved.",
    "adaptive": "The mode is adaptive: a share of the sources is moved, more once it is proven.",
    "active": "The mode is active: sources that declare themselves free are moved.",
}


def response(registry: Registry, pattern: str) -> phase_pb2.ExplainResponse:
    """Answer for the sources whose name matches a shell pattern; an empty one does all."""
    found = registry.find(pattern)
    answered = [_explanation(registry, attended) for attended, _ in islice(found, _MOST_ANSWERS)]
    return phase_pb2.ExplainResponse(
        explanations=answered, sentences=_node(registry), left_out=sum(1 for _ in found)
    )


def group_line(group: GroupState) -> str:
    """Say in one line what a group of sources does, and why."""
    line = (
        f"{group.sources} sources every {group.period_seconds:g} s, {group.eligible} may be moved: "
        f"{group.state}"
    )
    return f"{line}, {group.reason}" if group.reason else line


def _explanation(registry: Registry, attended: Attended) -> phase_pb2.Explanation:
    return phase_pb2.Explanation(
        source=attended.source.name,
        pid=attended.pid,
        sentences=registry.explain(attended),
        numbers=registry.numbers(attended),
    )


def _node(registry: Registry) -> list[str]:
    sentences = [_MODES[registry.mode]]
    if registry.mode != registry.configured_mode:
        sentences.append(f"The configuration asks for {registry.configured_mode}.")
    decision = registry.decision
    if not len(registry):
        sentences.append("No source is registered.")
    elif decision:
        sentences += [f"{group_line(group)}." for group in decision.groups]
    acted = {guard: times for guard, times in (decision.trips if decision else {}).items() if times}
    if acted:
        told = ", ".join(f"{guard} {times}" for guard, times in acted.items())
        sentences.append(f"Guards have acted: {told}.")
    return sentences
