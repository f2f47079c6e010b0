# SPDX-License-Identifier: MIT
"""The report for people, from slots that are made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fakes.bench_measuring import measured
from resonance.bench.digest import Outcome, doubts_of
from resonance.bench.load import Measured, parse_target
from resonance.bench.plan import Load, Stage
from resonance.bench.records import Generator, Rule
from resonance.bench.scenarios import parse_threshold
from resonance.cli.bench.run_plan import Arm, Plan
from resonance.cli.bench.run_rounds import Rounds, Taken
from resonance.cli.bench.run_text import report
from resonance.cli.bench.run_verdicts import advice, answers_needed, exit_code

LOAD = Load(parse_target("http://127.0.0.1:8080/items"), (Stage(6.0, 500.0),), warm_up_seconds=2.0)
BUSY = Generator(cpu_cores=0.2, cpu_wait_seconds=0.03, stalls=2, waited=41, connections=256)


def _doubtful() -> Measured:
    return measured(sent_ratio=0.9, generator=BUSY)


def _plan(*names: str, repetitions: int = 1, thresholds: tuple[str, ...] = ()) -> Plan:
    return Plan(
        tuple(Arm(name, LOAD) for name in names or ("baseline",)),
        repetitions,
        tuple(map(parse_threshold, thresholds)),
        Rule(),
    )


def _rounds(plan: Plan, *made: Measured) -> Rounds:
    slots = iter(made)
    return Rounds(
        [
            Taken(arm, repetition, each)
            for repetition in range(plan.repetitions)
            for arm, each in zip(plan.arms, slots, strict=False)
        ]
    )


def _text(plan: Plan, *made: Measured, columns: int = 80) -> str:
    return "\n".join(report(plan, _rounds(plan, *made), columns=columns, paint=_mark)) + "\n"


def _mark(line: str) -> str:
    return f"!{line}"


def _everything(columns: int) -> str:
    """Return one report of each kind, one after the other."""
    believed = _plan(thresholds=("p99<1ms", "failed<1%", "p99.9<=5ms"))
    mixed = measured(
        calls=3_000,
        seconds=6.0,
        warm_up_seconds=2.0,
        outcomes=(Outcome.OK,) * 49 + (Outcome.STATUS,),
        names=("read", "write of something with a long name"),
        notes=("no real-time class is permitted here: run it as root, or with CAP_SYS_NICE",),
    )
    several = _plan("baseline", "new", repetitions=3)
    good, bad = measured(), _doubtful()
    return "\n".join(
        [
            _text(believed, mixed, columns=columns),
            _text(_plan(), measured(calls=900, waited_ns=400_000, generator=BUSY), columns=columns),
            _text(_plan(), bad, columns=columns),
            _text(several, good, good, bad, good, good, good, columns=columns),
        ]
    )


def test_reports(golden: Callable[[str, str], None]) -> None:
    golden("cli/bench-run.txt", _everything(80))


def test_reports_fit_a_narrow_terminal(golden: Callable[[str, str], None]) -> None:
    text = _everything(60)
    golden("cli/bench-run-60.txt", text)
    assert max(len(line.removeprefix("!")) for line in text.splitlines()) <= 60


def test_no_response_time_of_a_doubtful_slot_is_written() -> None:
    text = _text(_plan(thresholds=("p99<1s",)), _doubtful())
    beginnings = {line.split(" ")[0] for line in text.splitlines()}
    assert beginnings.isdisjoint({"response", "service", "threshold", "gap"})
    assert "!NOT TO BE BELIEVED" in text


def test_only_what_is_wrong_is_marked() -> None:
    good = _text(_plan(thresholds=("failed<1%",)), measured())
    assert "!" not in good
    missed = _text(_plan(thresholds=("failed<1%", "p99<1us")), measured())
    assert [line[:10] for line in missed.splitlines() if line.startswith("!")] == ["!threshold"]


def test_a_slot_that_never_left_its_warm_up_says_so() -> None:
    slot = measured(calls=10, seconds=1.0, warm_up_seconds=1.0, is_partial=True)
    assert "no call was due after the warm-up" in _text(_plan(), slot)


def test_what_steers_a_terminal_is_not_written() -> None:
    target = replace(LOAD.target, unix_socket="/run/\33[2J")
    plan = _plan()
    plan = replace(plan, arms=(Arm("baseline", replace(LOAD, target=target)),))
    assert "\33" not in _text(plan, measured())


@pytest.mark.parametrize("is_realtime", [False, True])
@pytest.mark.parametrize("waited", [0, 5])
def test_every_doubt_of_the_rule_has_advice_of_its_own(*, is_realtime: bool, waited: int) -> None:
    doubts = [
        *doubts_of(
            Rule(max_foreign_cores=0.1),
            achieved_ratio=0.5,
            lateness_p99=0.1,
            response_p99=0.2,
            foreign_cores=1.0,
        ),
        *doubts_of(
            Rule(), achieved_ratio=1.0, lateness_p99=None, response_p99=None, foreign_cores=None
        ),
    ]
    generator = Generator(is_realtime=is_realtime, waited=waited)
    given = {advice(doubt, generator) for doubt in doubts}
    assert len(given) == len(doubts) == 4
    assert "Measure again." not in given


def test_advice_knows_what_the_generator_was_like() -> None:
    late, slow = "the generator was 9 us late at p99", "90.0% of the calls were sent in time"
    assert "CAP_SYS_NICE" in advice(late, Generator())
    assert "CAP_SYS_NICE" not in advice(late, Generator(is_realtime=True))
    assert "--processes" in advice(slow, Generator())
    assert "target does not keep up" in advice(slow, Generator(waited=1))


def test_a_quantile_needs_an_answer_beyond_it() -> None:
    assert [answers_needed(q) for q in (0.5, 0.9, 0.95, 0.99, 0.999, 1.0)] == [
        2, 10, 20, 100, 1_000, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("is_interrupted", "is_doubtful", "is_missed", "code"),
    [
        (True, True, True, 130),
        (False, True, True, 3),
        (False, False, True, 1),
        (False, False, False, 0),
    ],
)
def test_the_worst_is_the_exit_code(
    *, is_interrupted: bool, is_doubtful: bool, is_missed: bool, code: int
) -> None:
    plan = _plan(thresholds=("p99<1us" if is_missed else "p99<1s",))
    made = _doubtful() if is_doubtful else measured()
    rounds = _rounds(plan, made)
    rounds.is_interrupted = is_interrupted
    assert exit_code(plan, rounds) == code
