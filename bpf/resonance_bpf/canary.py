# SPDX-License-Identifier: MIT
"""Does a freshly loaded program read the truth? Asked before anything it says is believed.

A program compiled against the wrong kernel's types loads, runs and lies. So one known task
is woken a known number of times on every CPU, and what the probe's own accessors say of
it (switches, wait, priority, policy, cgroup) is compared with what ``/proc`` says.
"""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resonance_bpf.errors import CanaryError
from resonance_bpf.report import CanaryResult

__all__ = ["RESULT_BYTES", "OpenCanary", "check"]

OpenCanary = Callable[[int], AbstractContextManager[Callable[[], bytes]]]
"""Attaches a canary program to a pid; yields how to read its result (``struct rs_canary``)."""

_RESULT: Final = struct.Struct("=IIQQQQII")
RESULT_BYTES: Final = _RESULT.size
_WAKEUPS_PER_CPU: Final = 23
_TOLERANCE: Final = 0.01
_SLACK_NS: Final = 20_000
"""*Chosen*: a few clock granules per CPU; wrong offsets are wrong by orders of magnitude."""


@dataclass(frozen=True, slots=True)
class _Reading:
    run_delay_ns: int
    switches: int
    wait_ns: int
    cgroup_id: int
    prio: int
    policy: int


@dataclass(frozen=True, slots=True)
class _Child:
    """A task that does one thing: answers each byte with a byte."""

    pid: int
    wake: int
    answer: int

    def ping(self) -> None:
        os.write(self.wake, b"!")
        if not os.read(self.answer, 1):
            raise CanaryError("canary", "the watched task died")

    def account(self) -> tuple[int, int]:
        """Return (switches, wait in ns) of the kernel's own account, once the task sleeps."""
        for _ in range(1_000):
            before = Path(f"/proc/{self.pid}/schedstat").read_text().split()
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
            after = Path(f"/proc/{self.pid}/schedstat").read_text().split()
            if state == "S" and before == after:
                return int(after[2]), int(after[1])
            time.sleep(0.001)
        raise CanaryError("canary", "the watched task does not come to rest")

    def priority(self) -> int:
        """Return the kernel's ``prio``; /proc shows it less 100 (proc_pid_stat(5), field 18)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[15]) + 100


@contextmanager
def _watched_child() -> Generator[_Child]:
    wake_read, wake_write = os.pipe()
    answer_read, answer_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(wake_write)
        while os.read(wake_read, 1):
            os.write(answer_write, b"!")
        os._exit(0)
    os.close(wake_read)
    os.close(answer_write)
    try:
        yield _Child(pid, wake_write, answer_read)
    finally:
        os.close(wake_write)
        os.close(answer_read)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def check(backend: str, open_canary: OpenCanary, own_cgroup_id: int) -> CanaryResult:
    """Compare what a backend reads of one task with what the kernel says of it.

    Parameters
    ----------
    backend : str
        Named in the error.
    open_canary : callable
        Attaches the backend's canary program to a pid; a context manager.
    own_cgroup_id : int
        The cgroup that must be read; 0 for no check.

    Raises
    ------
    CanaryError
        Something read was not true, twice: the backend must not be used. Wrong offsets are
        wrong each time; a tracepoint whose other users come or go meanwhile may lose events.
    """
    try:
        return _measure(backend, open_canary, own_cgroup_id)
    except CanaryError:
        return _measure(backend, open_canary, own_cgroup_id)


def _measure(backend: str, open_canary: OpenCanary, own_cgroup_id: int) -> CanaryResult:
    with _watched_child() as child, open_canary(child.pid) as read:
        child.ping()
        switches_before, wait_before = child.account()
        seen_before = _parse(read())
        for cpu in sorted(os.sched_getaffinity(0)):
            os.sched_setaffinity(child.pid, {cpu})
            for _ in range(_WAKEUPS_PER_CPU):
                child.ping()
        switches_after, wait_after = child.account()
        seen = _parse(read())
        result = CanaryResult(
            switches_seen=seen.switches - seen_before.switches,
            switches_expected=switches_after - switches_before,
            wait_seen_ns=seen.wait_ns - seen_before.wait_ns,
            wait_expected_ns=wait_after - wait_before,
        )
        expected = (child.priority(), os.sched_getscheduler(child.pid))
    _judge(backend, result)
    # On a quiet machine the sum is right even where the baseline reads nothing but zero.
    if abs(seen.run_delay_ns - wait_after) > _SLACK_NS + _TOLERANCE * wait_after:
        raise _lie(backend, "run delay in ns", seen.run_delay_ns, wait_after)
    if (seen.prio, seen.policy) != expected:
        raise _lie(backend, "priority and policy", (seen.prio, seen.policy), expected)
    if own_cgroup_id and seen.cgroup_id != own_cgroup_id:
        raise _lie(backend, "cgroup id", seen.cgroup_id, own_cgroup_id)
    return result


def _parse(raw: bytes) -> _Reading:
    _, _, run_delay_ns, switches, wait_ns, cgroup_id, prio, policy = _RESULT.unpack(raw)
    return _Reading(run_delay_ns, switches, wait_ns, cgroup_id, prio, policy)


def _judge(backend: str, result: CanaryResult) -> None:
    allowed = max(2, _TOLERANCE * result.switches_expected)
    if abs(result.switches_seen - result.switches_expected) > allowed:
        raise _lie(backend, "switches", result.switches_seen, result.switches_expected)
    allowed = _SLACK_NS + _TOLERANCE * result.wait_expected_ns
    if abs(result.wait_seen_ns - result.wait_expected_ns) > allowed:
        raise _lie(backend, "wait in ns", result.wait_seen_ns, result.wait_expected_ns)


def _lie(backend: str, what: str, seen: object, expected: object) -> CanaryError:
    return CanaryError(
        backend,
        f"the canary read {what} {seen} where the kernel says {expected}",
        "the program was built for another kernel's types",
    )
