# SPDX-License-Identifier: MIT
"""One repetition: four arms one after the other, with one start of the tasks and the service.

An arm is where the tasks' phases begin, and the mode of the controller, set on the socket of an
operator. The first seconds of an arm, in which tasks move, are left out, and nothing else is.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

import grpc

from resonance.bench import records
from resonance.bench.digest import Calls, Outcome, digest
from resonance.bench.errors import ExperimentError
from resonance.bench.machine import busy_seconds
from resonance.bench.records import Rule, Slot
from resonance.bench.reference.cgroups import Group
from resonance.bench.reference.daemon import Daemon, service
from resonance.bench.reference.phase.neighbours import Answer, Burst, running
from resonance.bench.reference.phase.timetable import ARMS, Block, Timing, origins, timetable
from resonance.bench.reference.processes import cpu_seconds
from resonance_api.admin.v1.admin_pb2 import SetPhaseRequest
from resonance_api.admin.v1.admin_pb2_grpc import AdminStub

__all__ = ["RULE", "controlled", "repetition", "set_mode"]

RULE: Final = Rule(max_foreign_cores=0.3)
_ANSWER_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Used:
    """CPUs that were used in a block: by the daemon, and by who is none of ours."""

    daemon_cores: float
    foreign_cores: float


def repetition(
    number: int, order: Sequence[str], draw: Random, group: Group, timing: Timing
) -> dict[str, Slot]:
    """Measure all arms once.

    Parameters
    ----------
    number : int
        Of the repetition.
    order : sequence of str
        Names of `ARMS`.
    draw : Random
        Of the phases.
    group : Group
        The cgroup that all are in: there a request competes with each task for itself.
    timing : Timing

    Returns
    -------
    dict of str to Slot
        By name.

    Raises
    ------
    ExperimentError
        Something did not start, or failed.
    """
    directories = list(map(str, group.directories))
    with controlled(group.path) as daemon:
        begun = time.monotonic()
        blocks = timetable(order, timing, begun + timing.start_seconds)
        request_seconds = blocks[-1].end - begun
        phases = origins(blocks, draw)
        with running(phases, request_seconds, directories, daemon.socket) as they:
            wall_seconds = time.time() - time.monotonic()
            used = [_used(block, daemon, they.pids) for block in blocks]
            answers, sender_seconds, bursts = they.ended()
    generator = records.Generator(
        is_realtime=True, cpu_cores=sender_seconds / request_seconds, connections=1
    )
    return {
        block.name: _slot(
            number,
            block,
            meanwhile,
            answers=answers,
            bursts=bursts,
            generator=generator,
            wall_seconds=wall_seconds,
        )
        for block, meanwhile in zip(blocks, used, strict=True)
    }


@contextmanager
def controlled(protected: str) -> Generator[Daemon]:
    """Run the service as it ships; the controller is judged by the waits of a cgroup.

    Parameters
    ----------
    protected : str
        Its path.

    Yields
    ------
    Daemon
    """
    with tempfile.NamedTemporaryFile("w", prefix="resonance-bench-", suffix=".toml") as file:
        file.write(f'[phase]\nmode = "shadow"\nprotect = ["{protected}"]\n')
        file.flush()
        with service("--config", file.name) as daemon:
            yield daemon


def set_mode(daemon: Daemon, mode: str) -> None:
    """Say how far the controller may go, as ``resonanced phase`` does.

    Parameters
    ----------
    daemon : Daemon
    mode : {"observe", "shadow", "adaptive", "active"}

    Raises
    ------
    ExperimentError
        The daemon does not answer.
    """
    try:
        with grpc.insecure_channel(f"unix:{daemon.admin_socket}") as channel:
            AdminStub(channel).SetPhase(SetPhaseRequest(mode=mode), timeout=_ANSWER_SECONDS)
    except grpc.RpcError as error:
        raise ExperimentError("setting the mode of the phases", str(error.details())) from None


def _used(block: Block, daemon: Daemon, pids: Sequence[int]) -> _Used:
    """Live through a block, in the mode of its arm."""
    set_mode(daemon, "shadow")
    if ARMS[block.name].mode != "shadow":
        _sleep_until(block.moved_from)
        set_mode(daemon, ARMS[block.name].mode)
    _sleep_until(block.measured_from)
    begun, busy, ours = time.monotonic(), busy_seconds(), _ours(pids)
    service_seconds = daemon.cpu_seconds()
    _sleep_until(block.end)
    seconds = time.monotonic() - begun
    service_seconds = daemon.cpu_seconds() - service_seconds
    foreign = busy_seconds() - busy - (_ours(pids) - ours) - service_seconds
    return _Used(service_seconds / seconds, max(0.0, foreign / seconds))


def _ours(pids: Sequence[int]) -> float:
    """Return the CPU time of processes, of their children, and of this one."""
    children = [
        int(child)
        for pid in pids
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]
    return sum(map(cpu_seconds, [*pids, *children])) + time.process_time()


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _slot(
    number: int,
    block: Block,
    used: _Used,
    *,
    answers: Sequence[Answer],
    bursts: Sequence[Burst],
    generator: records.Generator,
    wall_seconds: float,
) -> Slot:
    begin_ns, end_ns = round(block.measured_from * 1e9), round(block.end * 1e9)
    within = [each for each in answers if begin_ns <= each.due_ns < end_ns]
    due = [each.due_ns - begin_ns for each in within]
    sent = [at + each.late_ns for at, each in zip(due, within, strict=True)]
    ended = [at + each.took_ns for at, each in zip(due, within, strict=True)]
    took = [each.took for each in bursts if block.measured_from <= each.due < block.end]
    if not within or not took:
        raise ExperimentError("the phase scene", f"nothing ran in the arm {block.name}")
    seconds = block.end - block.measured_from
    return digest(
        Calls(due, sent, sent, ended, [Outcome.OK] * len(within)),
        seconds=seconds,
        started_at=wall_seconds + block.measured_from,
        repetition=number,
        rule=RULE,
        generator=generator,
        foreign_cores=used.foreign_cores,
        costs={
            "job_p50_seconds": median(took),
            "job_rate_per_second": len(took) / seconds,
            "daemon_cores": used.daemon_cores,
        },
    ).slot
