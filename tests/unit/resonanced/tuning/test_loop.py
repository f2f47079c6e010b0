# SPDX-License-Identifier: MIT
from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fakes.actuator import BEGUN, FakeActuator
from fakes.snapshots import OTHER, distribution, overhead, snapshot, without_histograms
from fakes.tuned_node import knob, plan, setting, waits
from resonance_tuning.actuator import wire
from resonance_tuning.host import Host
from resonance_tuning.records import Receipt, Setting
from resonance_tuning.settings import TuningSettings
from resonanced.model import Slot
from resonanced.tuning import loop
from resonanced.tuning.loop import TuningLoop

WEB = Slot(index=3, generation=1, cgroup="/web", cgroup_id=7, is_configured=True)
IDLE, WEIGHT = setting("idle"), setting("weight")
BAD, GOOD = 0.01, 0.0005


class Daemon:
    """A loop on a clock of its own, with an actuator that turns nothing."""

    def __init__(self, fake: FakeActuator, tmp_path: Path, begun: wire.Begun, mode: Any) -> None:
        self.fake = fake
        self.followed: list[tuple[str, ...]] = []
        self.now = 1_000.0
        self.level: Callable[[], float] = lambda: BAD
        self._waits, self._overhead = distribution(), overhead()
        self._generator = np.random.default_rng(1)
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/mountinfo").write_text("")
        self.loop = TuningLoop(
            TuningSettings(mode=mode), fake.client, begun, self.followed.append, Host(tmp_path)
        )

    async def run(self, seconds: float, **changes: Any) -> None:
        """Let time pass, ten ticks a second."""
        for tick in range(round(seconds * 10)):
            self.now += 0.1
            if tick % 10 == 0:
                self._overhead = overhead()
                buckets = self._waits.buckets
                assert buckets is not None
                buckets = buckets.copy()
                buckets[WEB.index] += waits(self._generator, self.level())
                self._waits = dataclasses.replace(self._waits, buckets=buckets)
            values = {
                "monotonic_ns": round(self.now * 1e9),
                "slots": (OTHER, WEB),
                "runqueue": self._waits,
                "overhead": self._overhead,
            }
            self.loop.observe(snapshot(**(values | changes)))
            if tick % 10 == 0:
                await settle()


async def settle() -> None:
    """Let what was asked be answered, and what follows be asked."""
    for _ in range(30):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        loop, "_KINDS", {"idle": knob("idle"), "weight": knob("weight", 2), "cpus": knob("cpus", 3)}
    )


@pytest.fixture
async def fake() -> Iterator[FakeActuator]:
    return FakeActuator(plan(IDLE, WEIGHT))


@pytest.fixture
async def start(fake: FakeActuator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    daemons: list[Daemon] = []

    def start(begun: wire.Begun = BEGUN, mode: str = "active") -> Daemon:
        daemon = Daemon(fake, tmp_path, begun, mode)
        clock = SimpleNamespace(monotonic=lambda: daemon.now)
        monkeypatch.setattr(loop, "time", clock)
        daemons.append(daemon)
        return daemon

    yield start
    for daemon in daemons:
        await daemon.loop.stop()


Start = Callable[..., Daemon]


async def test_it_plans_and_asks_for_slots(start: Start, fake: FakeActuator) -> None:
    daemon = start()
    await daemon.run(2)
    assert len(fake.asked(wire.PlanRequest)) == 1
    assert daemon.followed == [("/web", "/web/*")]
    tuning = daemon.loop.tuning
    assert (tuning.mode, tuning.profile, tuning.reason) == ("active", "test", "")
    assert tuning.applied == {"idle": 0, "weight": 0}
    assert tuning.writes["idle", "applied"] == 0
    assert tuning.verdicts["idle", "kept"] == 0
    await daemon.run(60)
    assert len(fake.asked(wire.PlanRequest)) == 2


async def test_what_helps_is_tried_kept_counted_and_noted(start: Start, fake: FakeActuator) -> None:
    daemon = start()
    daemon.level = lambda: GOOD if daemon.loop.tuning.applied.get("idle") else BAD
    await daemon.run(130)
    applies, undos = fake.asked(wire.Apply), fake.asked(wire.Undo)
    assert [each.settings for each in applies] == [(IDLE,), (IDLE,)]  # type: ignore[union-attr]
    assert [each.settings for each in undos] == [(IDLE,)]  # type: ignore[union-attr]
    tuning = daemon.loop.tuning
    assert tuning.applied["idle"] == 1
    assert tuning.writes["idle", "applied"] == 2
    assert tuning.writes["idle", "restored"] == 1
    assert tuning.verdicts["idle", "kept"] == 1
    ((kind, note),) = fake.notes
    assert kind == "verdict"
    assert (note["knob"], note["target"], note["verdict"]) == ("idle", "cgroup /web", "kept")
    assert note["cgroup"] == "/web"
    assert set(note) == {
        "knob", "target", "verdict", "reason", "cgroup", "ratio", "low", "high",
        "p99_before_seconds", "p99_during_seconds", "p99_after_seconds",
        "events_before", "events_during", "events_after", "window_seconds",
    }  # fmt: skip
    assert 0.0 < float(note["low"]) <= float(note["ratio"]) <= float(note["high"]) < 0.9


async def test_what_is_not_known_of_a_verdict_is_left_out(start: Start, fake: FakeActuator) -> None:
    daemon = start(mode="shadow", begun=wire.Begun(1, "boot", (), (), is_shadow=True))
    await daemon.run(70)
    assert not fake.asked(wire.Apply)
    ((kind, note),) = fake.notes
    assert (kind, note["verdict"]) == ("verdict", "would")
    assert "ratio" not in note
    assert (daemon.loop.tuning.mode, daemon.loop.tuning.reason) == ("shadow", "")


async def test_less_than_was_asked_for_is_said_with_its_reason(start: Start) -> None:
    begun = wire.Begun(1, "boot", (), (), is_shadow=True, reason="in a container")
    tuning = start(begun=begun).loop.tuning
    assert (tuning.mode, tuning.requested_mode) == ("shadow", "active")
    assert tuning.reason == "in a container"


async def test_without_histograms_nothing_is_tried(start: Start, fake: FakeActuator) -> None:
    daemon = start()
    await daemon.run(200, runqueue=without_histograms(distribution({3: [10_000_000] * 500})))
    assert not fake.asked(wire.Apply)
    assert daemon.loop.tuning.mode == "shadow"
    assert daemon.loop.tuning.reason == "this tier has no histograms: no gain can be proven"


async def test_what_is_refused_is_counted_and_planned_anew(
    start: Start, fake: FakeActuator, caplog: pytest.LogCaptureFixture
) -> None:
    daemon = start()
    fake.refusal = "No space left on device"
    await daemon.run(70)
    assert daemon.loop.tuning.writes["idle", "refused"] == 1
    assert daemon.loop.tuning.applied["idle"] == 0
    assert "refused knob=idle reason='No space left on device'" in caplog.text
    assert len(fake.asked(wire.PlanRequest)) > 2


async def test_a_verdict_that_cannot_be_noted_is_told(start: Start, fake: FakeActuator) -> None:
    daemon = start(mode="shadow", begun=wire.Begun(1, "boot", (), (), is_shadow=True))
    fake.refusal = "Read-only file system"
    await daemon.run(70)
    told = "a verdict was not noted: Read-only file system"
    assert daemon.loop.tuning.reason == told
    fake.refusal = ""
    await daemon.run(30)
    assert daemon.loop.tuning.reason == ""


async def test_drift_is_counted_told_and_left_alone(
    start: Start, fake: FakeActuator, caplog: pytest.LogCaptureFixture
) -> None:
    daemon = start()
    daemon.level = lambda: GOOD if daemon.loop.tuning.applied.get("idle") else BAD
    await daemon.run(130)
    fake.say(wire.Drifted((Receipt(1, IDLE, "released", "0", "written by pid 42"),)))
    await settle()
    tuning = daemon.loop.tuning
    assert (tuning.drifts["idle"], tuning.applied["idle"]) == (1, 0)
    assert "released what='idle of cgroup /web' found='0' by='written by pid 42'" in caplog.text
    await daemon.run(300)
    assert all(each.settings != (IDLE,) for each in fake.asked(wire.Apply)[2:])  # type: ignore[union-attr]


async def test_a_step_down_of_the_actuator_is_taken_in(start: Start, fake: FakeActuator) -> None:
    daemon = start()
    daemon.level = lambda: GOOD if daemon.loop.tuning.applied.get("idle") else BAD
    await daemon.run(130)
    fake.say(wire.SteppedDown((Receipt(1, IDLE, "restored"),), "batch work waited for too long"))
    await settle()
    assert daemon.loop.tuning.applied["idle"] == 0
    assert daemon.loop.tuning.writes["idle", "restored"] == 2
    assert daemon.loop.tuning.verdicts["idle", "harm"] == 1
    kind, note = fake.notes[-1]
    assert (kind, note["verdict"]) == ("verdict", "harm")
    assert note["reason"] == "batch work waited for too long"


async def test_a_host_that_changes_is_planned_anew(start: Start, fake: FakeActuator) -> None:
    daemon = start()
    await daemon.run(2)
    fake.plan = plan(WEIGHT, cgroups=["/db"])
    fake.say(wire.Replanned("CPU 3 went offline"))
    await settle()
    assert daemon.followed[-1] == ("/db", "/db/*")


async def test_what_is_in_force_at_the_start_is_shown(start: Start, fake: FakeActuator) -> None:
    fake.live = [IDLE]
    daemon = start()
    await daemon.run(2)
    assert daemon.loop.tuning.applied == {"idle": 1, "weight": 0}
    assert daemon.loop.tuning.writes["idle", "applied"] == 0


async def test_cpus_of_its_own_are_a_grant(start: Start, fake: FakeActuator) -> None:
    fake.live = [setting("cpuset", "2-3"), setting("cpuset_partition", "isolated")]
    daemon = start()
    await daemon.run(2)
    assert daemon.loop.tuning.grants == {"/web": (2, 3)}


async def test_an_actuator_that_is_gone_ends_tuning_not_seeing(
    start: Start, fake: FakeActuator
) -> None:
    daemon = start()
    await daemon.run(2)
    fake.close()
    await settle()
    await daemon.run(5)
    tuning = daemon.loop.tuning
    assert (tuning.mode, tuning.reason) == ("observe", "actuator: it is gone")


async def test_a_defect_of_ours_is_not_hidden(
    start: Start, fake: FakeActuator, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(loop, "Strategy", broken)
    with pytest.raises(ZeroDivisionError):
        await daemon.run(3)


async def test_ticks_between_two_samples_cost_nothing(start: Start) -> None:
    daemon = start()
    await daemon.run(3)
    strategy = daemon.loop._strategy
    assert strategy
    seen: list[float] = []
    strategy.observe = lambda now, sample: seen.append(now) or []  # type: ignore[method-assign,assignment,func-returns-value]
    await daemon.run(5)
    assert len(seen) == 5


@pytest.mark.parametrize("name", ["/we\nb", "/we\udcffb", "/" + "x" * 5_000])
async def test_a_group_of_any_name_can_be_noted(
    start: Start, fake: FakeActuator, name: str
) -> None:
    daemon = start()
    target = dataclasses.replace(IDLE.target, name=name)
    odd: Setting = dataclasses.replace(IDLE, target=target)
    await daemon.loop._note("verdict", [odd], {"reason": "a test"})
    ((_, note),) = fake.notes
    assert str(note["target"]).isprintable()
    assert len(str(note["target"])) <= 4_096
