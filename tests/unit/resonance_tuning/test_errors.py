# SPDX-License-Identifier: MIT
"""The errors of the tuning: fields survive a process border, and a line tells all."""

from __future__ import annotations

import errno
import inspect
import pickle

import pytest

from resonance_tuning import errors
from resonance_tuning.errors import (
    ActuatorError,
    ActuatorRefusedError,
    JournalError,
    KnobDriftedError,
    KnobRefusedError,
    KnobUnavailableError,
    ProfileError,
    RequirementError,
    TargetProtectedError,
    TargetVanishedError,
    TuningError,
)
from resonance_tuning.records import Receipt, Setting, Target

EACH = [
    (KnobUnavailableError("cpuset", "one CPU"), "cpuset: one CPU"),
    (
        KnobRefusedError("nice", "process 7", "-5", errno.EPERM, "it needs CAP_SYS_NICE"),
        "nice of process 7: Operation not permitted, writing '-5'; it needs CAP_SYS_NICE",
    ),
    (
        KnobRefusedError("nice", "process 7", "-5", errno.EPERM),
        "nice of process 7: Operation not permitted, writing '-5'",
    ),
    (
        KnobDriftedError("cpu_weight", "cgroup /web", "1000", "99"),
        "cpu_weight of cgroup /web: wrote '1000', found '99'",
    ),
    (TargetVanishedError("cgroup /web"), "cgroup /web: it is gone"),
    (TargetProtectedError("process 1", "it is PID 1"), "process 1: never tuned: it is PID 1"),
    (
        RequirementError("balanced", "2 CPUs online", "1"),
        "profile balanced: requires 2 CPUs online, found 1",
    ),
    (ProfileError("/etc/p.toml", "batch.x", "no such knob"), "/etc/p.toml: batch.x: no such knob"),
    (ProfileError("/etc/p.toml", "", "no such file"), "/etc/p.toml: no such file"),
    (JournalError("/run/j.wal", 7, "damaged"), "/run/j.wal:7: damaged"),
    (JournalError("/run/j.wal", 0, "no room"), "/run/j.wal: no room"),
    (ActuatorError("it ended"), "actuator: it ended"),
    (ActuatorRefusedError("not in the plan"), "not in the plan"),
]


@pytest.mark.parametrize(("error", "line"), EACH)
def test_it_reads_as_one_line_also_after_a_process_border(error: TuningError, line: str) -> None:
    error.receipts = (Receipt(1, Setting("nice", Target("process", "7"), "-5"), "restored"),)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(error), str(again)) == (type(error), line, line)
    assert vars(again) == vars(error)


def test_every_error_of_the_tree_is_drawn_listed_and_tested() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, TuningError)
    }
    assert defined == set(errors.__all__)
    assert all(name in (errors.__doc__ or "") for name in defined)
    assert {type(error).__name__ for error, _ in EACH} == defined - {"TuningError"}
