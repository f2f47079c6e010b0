# SPDX-License-Identifier: MIT
"""A daemon's hint socket in this process, which answers with the states it was given."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from resonance_api.hints.v1.hints_pb2 import (
    CgroupState,
    GetRequest,
    GetResponse,
    Histogram,
    Latency,
    State,
)
from resonance_api.hints.v1.hints_pb2_grpc import HintsServicer, add_HintsServicer_to_server
from resonance_api.phase.v1.phase_pb2_grpc import PhaseServicer, add_PhaseServicer_to_server


class HintDaemon(HintsServicer):
    """Answer each ``Get`` with the next state; the last one stays."""

    def __init__(self, states: Sequence[State]) -> None:
        self.states = list(states)
        self.requests: list[GetRequest] = []

    def Get(self, request: GetRequest, context: grpc.ServicerContext) -> GetResponse:  # noqa: N802 - gRPC's name
        self.requests.append(request)
        state = State()
        state.CopyFrom(self.states.pop(0) if len(self.states) > 1 else self.states[0])
        wanted = [
            each
            for each in state.cgroups
            if not request.cgroups
            or any(fnmatch.fnmatch(each.cgroup, pattern) for pattern in request.cgroups)
        ]
        del state.cgroups[:]
        state.cgroups.extend(wanted)
        return GetResponse(state=state)


@contextlib.contextmanager
def serve(
    socket: Path, servicer: HintsServicer, phase: PhaseServicer | None = None
) -> Iterator[Path]:
    """Serve on a socket until the block ends."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    add_HintsServicer_to_server(servicer, server)
    if phase is not None:
        add_PhaseServicer_to_server(phase, server)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    yield socket
    server.stop(grace=None).wait()


def latency(
    buckets: dict[int, int] | None = None,
    *,
    p50_seconds: float | None = None,
    p99_seconds: float | None = None,
) -> Latency:
    """Return a latency of waits that all lie at the upper edge (ns) of their bucket."""
    counts = buckets or {}
    return Latency(
        count=sum(counts.values()),
        sum_seconds=sum(upper_ns * count for upper_ns, count in counts.items()) / 1e9,
        p50_seconds=p50_seconds,
        p99_seconds=p99_seconds,
        histogram=Histogram(upper_ns=counts, counts=counts.values()),
    )


def state(*cgroups: CgroupState, at_seconds: float = 0.0, **changes: object) -> State:
    """Return a state of the best tier, read at a time that counts from the first."""
    values: dict[str, object] = {
        "instance": 1,
        "sequence": 1,
        "monotonic_ns": 1_000_000_000_000 + round(at_seconds * 1e9),
        "unix_seconds": 1_790_000_000.0 + at_seconds,
        "age_seconds": 0.05,
        "valid_for_seconds": 0.5,
        "backend": "core",
        "tier": "core",
        "hierarchy": "v2",
        "mode": "observe",
        "percentile_window_seconds": 10.0,
    }
    return State(cgroups=cgroups, **(values | changes))  # type: ignore[arg-type]
