# SPDX-License-Identifier: MIT
"""Servers that are no toy: each answers, costs what was asked for, and leaves nothing behind."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from resonance.bench.digest import Outcome
from resonance.bench.errors import ExperimentError
from resonance.bench.load.wires.http2 import frames
from resonance.bench.reference.driving import Driver
from resonance.bench.reference.links import Answer, Kind
from resonance.bench.reference.processes import Server, cpu_seconds
from resonance.bench.reference.slots import Demand, arrivals
from resonance.bench.reference.variants import VARIANTS, Variant, variant
from resonance.bench.reference.variants.calibrating import amount_of
from resonance.bench.reference.variants.cancelling import CancellingWire
from resonance.bench.reference.variants.wired import WiredLinks
from resonance.policies import BudgetPolicy, ChoicePolicy, HedgePolicy, Policy, Service, TaskHint

PATIENCE_SECONDS = 30.0
PLACES = "/usr/local/sbin:/usr/sbin:/sbin"
HAS_NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:{PLACES}") is not None
NGINX = pytest.param(
    "nginx", marks=pytest.mark.skipif(not HAS_NGINX, reason="no nginx: apt-get install nginx")
)
EACH = pytest.mark.parametrize("name", ["grpc", NGINX, "uvicorn"])
HTTP = pytest.mark.parametrize("name", [NGINX, "uvicorn"])
HEDGING = Policy(
    hedge=HedgePolicy(delay=1e-5, saturation_guard=False, max_inflight_pct=1e6),
    budget=BudgetPolicy(ratio=1.0, cap=1_000.0, initial=1_000.0),
    choice=ChoicePolicy(algorithm="random", ejection=None),
)


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let servers have next to no work, whatever time is asked for."""

    def amount(of: Variant, work_seconds: float) -> int:
        return of.guesses[0]

    monkeypatch.setattr(variant, "_amount", amount)


@pytest.fixture(scope="module")
def standing() -> Iterator[Callable[[str], list[Server]]]:
    """Three replicas of a kind, started when first wanted, for tests that do them no harm."""
    with ExitStack() as stack:

        @functools.cache
        def servers(name: str) -> list[Server]:
            of = VARIANTS[name]
            return stack.enter_context(of._running([()] * 3, [-1] * 3, of.guesses[0]))

        yield servers


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def linked(of: Variant, *servers: Server, clients: int = 1) -> Generator[WiredLinks]:
    with closing(of.links([each.port for each in servers], clients)) as links:
        yield links


def receive(links: WiredLinks, count: int) -> list[Answer]:
    answers: list[Answer] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(answers) < count and time.monotonic() < deadline:
        answers += links.receive(0.1)
    return answers


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# ---- servers and links -------------------------------------------------------------------------


@EACH
def test_each_request_is_answered_once_by_whom_it_was_sent_to(
    name: str, standing: Callable[[str], list[Server]]
) -> None:
    with linked(VARIANTS[name], *standing(name), clients=2) as links:
        for number in range(42):
            links.send(number % 2, number % 3, Kind.REQUEST, number)
        answers = receive(links, 42)
        assert list(links.receive(0.0)) == []
    assert sorted(answers, key=lambda answer: answer.number) == [
        Answer(number % 2, number % 3, Kind.DONE, 0, number) for number in range(42)
    ]


@EACH
def test_a_request_costs_what_was_asked_for(name: str) -> None:
    work_seconds, requests = 0.002, 50
    of = VARIANTS[name]
    with of.servers([()], [-1], work_seconds) as (server,), linked(of, server) as links:
        before = cpu_seconds(server.pids[0])
        for number in range(requests):
            links.send(0, 0, Kind.REQUEST, number)
        receive(links, requests)
        cost_seconds = (cpu_seconds(server.pids[0]) - before) / requests
    assert 1 / 3 < cost_seconds / work_seconds < 3.0


@EACH
def test_the_books_balance_with_copies_in_play(
    name: str, standing: Callable[[str], list[Server]]
) -> None:
    calls = arrivals(Demand(3, 200.0, seconds=0.5), "books")
    services = [Service(HEDGING, random=Random(each)) for each in range(3)]
    with linked(VARIANTS[name], *standing(name), clients=3) as links:
        for _ in range(2):  # a slot finds the links as the one before left them
            driver = Driver(services, links, hint=TaskHint(idempotent=True))
            trace = driver.run(calls, time.monotonic() + 0.01)
            assert trace.calls == len(calls)
            assert trace.sent == trace.done + trace.dropped == len(calls) + trace.hedges
            assert [service.inflight for service in services] == [0, 0, 0]
        assert list(links.receive(0.0)) == []
    assert sum(service.counts.hedges for service in services) > 0


@EACH
@pytest.mark.usefixtures("light")
def test_a_server_that_is_killed_is_an_error_and_not_a_wait(name: str) -> None:
    of = VARIANTS[name]
    with of.servers([()], [-1], 0.0007) as (server,), linked(of, server) as links:
        os.kill(server.pids[0], signal.SIGSTOP)  # so that what is sent is under way
        links.send(0, 0, Kind.REQUEST, 1)
        os.kill(server.pids[0], signal.SIGKILL)
        with pytest.raises(ConnectionError, match="replica 0 has gone"):
            receive(links, 1)
        driver = Driver([Service(Policy(), random=Random(1))], links)
        with pytest.raises(ConnectionError, match="replica 0 has gone"):
            driver.run([(0.0, 0)] * 20, time.monotonic())


@pytest.mark.parametrize("name", ["grpc", NGINX])
def test_an_answer_that_says_it_failed_is_an_error(
    name: str, standing: Callable[[str], list[Server]]
) -> None:
    of = replace(VARIANTS[name], path="/resonance.Work/None")
    with linked(of, standing(name)[0]) as links:
        links.send(0, 0, Kind.REQUEST, 1)
        with pytest.raises(ConnectionError, match="a request ended as STATUS"):
            receive(links, 1)


@EACH
def test_no_probe_is_sent_to_a_server_that_would_not_answer(
    name: str, standing: Callable[[str], list[Server]]
) -> None:
    with (
        linked(VARIANTS[name], standing(name)[0]) as links,
        pytest.raises(ExperimentError, match="leave out the arms that probe"),
    ):
        links.send(0, 0, Kind.PROBE, 0)


@HTTP
def test_no_call_waits_for_another_on_its_connection(
    name: str, standing: Callable[[str], list[Server]]
) -> None:
    server = standing(name)[0]
    with linked(VARIANTS[name], server) as links:
        os.kill(server.pids[0], signal.SIGSTOP)
        for number in range(100):
            links.send(0, 0, Kind.REQUEST, number)
        assert list(links.receive(0.0)) == []
        assert len(links._ways) == 100
        os.kill(server.pids[0], signal.SIGCONT)
        assert {answer.number for answer in receive(links, 100)} == set(range(100))
        for number in range(100):
            links.send(0, 0, Kind.REQUEST, number)
        receive(links, 100)
        assert len(links._ways) == 100  # used again


@HTTP
def test_a_loser_of_http_runs_on_and_ends_as_done(
    name: str, standing: Callable[[str], list[Server]]
) -> None:
    with linked(VARIANTS[name], standing(name)[0]) as links:
        links.send(0, 0, Kind.REQUEST, 1)
        links.send(0, 0, Kind.CANCEL, 1)
        assert receive(links, 1) == [Answer(0, 0, Kind.DONE, 0, 1)]


def test_a_loser_of_grpc_that_waits_is_dropped_and_not_worked_on() -> None:
    of = VARIANTS["grpc"]
    # So much work that the first is over long after the others were cancelled.
    with of._running([()], [-1], 50 * of.guesses[1]) as (server,), linked(of, server) as links:
        pid = server.pids[0]
        before = cpu_seconds(pid)
        links.send(0, 0, Kind.REQUEST, 0)
        receive(links, 1)
        once, before = cpu_seconds(pid) - before, cpu_seconds(pid)
        for number in range(1, 41):
            links.send(0, 0, Kind.REQUEST, number)
        for number in range(2, 41):
            links.send(0, 0, Kind.CANCEL, number)
        answers = receive(links, 40)
        assert sorted(answer.number for answer in answers) == list(range(1, 41))
        dropped = {answer.number for answer in answers if answer.kind == Kind.DROPPED}
        assert dropped == set(range(2, 41))
        assert cpu_seconds(pid) - before < 20 * once
        links.send(0, 0, Kind.REQUEST, 41)  # the connection is as it was
        assert receive(links, 1) == [Answer(0, 0, Kind.DONE, 0, 41)]


def test_to_cancel_what_has_ended_does_nothing(standing: Callable[[str], list[Server]]) -> None:
    with linked(VARIANTS["grpc"], standing("grpc")[0]) as links:
        for number in (1, 2):
            links.send(0, 0, Kind.REQUEST, number)
            assert receive(links, 1) == [Answer(0, 0, Kind.DONE, 0, number)]
            links.send(0, 0, Kind.CANCEL, number)


# ---- their place, and their end ----------------------------------------------------------------


@EACH
@pytest.mark.usefixtures("light")
def test_nothing_is_left_behind(name: str, temporary: Path) -> None:
    with VARIANTS[name].servers([()] * 2, [-1] * 2, 0.0007) as servers:
        pids = [pid for each in servers for pid in each.pids]
        assert all(map(is_running, pids))
    assert not any(map(is_running, pids))
    assert list(temporary.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):
        VARIANTS[name].links([servers[0].port], 1)


@pytest.mark.usefixtures("light")
def test_nothing_is_left_behind_by_an_error(temporary: Path) -> None:
    pids: list[int] = []

    def fail() -> None:
        with VARIANTS["grpc"].servers([()], [-1], 0.0007) as (server,):
            pids.extend(server.pids)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not any(map(is_running, pids))
    assert list(temporary.iterdir()) == []


@EACH
def test_servers_die_with_who_started_them(name: str, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from resonance.bench.reference.variants import VARIANTS, variant\n"
        "variant._amount = lambda of, work_seconds: of.guesses[0]\n"
        f"with VARIANTS[{name!r}].servers([()], [-1], 0.0007) as (server,):\n"
        "    print(*server.pids, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
        parent.communicate()
    assert pids
    until(lambda: not any(map(is_running, pids)))


@EACH
@pytest.mark.usefixtures("light")
def test_a_server_is_in_its_place_with_all_its_threads(name: str, tmp_path: Path) -> None:
    cgroups = [tmp_path / "slice", tmp_path / "slice" / "replica"]
    for directory in cgroups:
        directory.mkdir()
        (directory / "cgroup.procs").touch()
    cpu = min(os.sched_getaffinity(0))
    with VARIANTS[name].servers([list(map(str, cgroups))], [cpu], 0.0007) as (server,):
        threads = [int(task.name) for task in Path(f"/proc/{server.pids[0]}/task").iterdir()]
        assert [os.sched_getaffinity(thread) for thread in threads] == [{cpu}] * len(threads)
        assert server.cpu == cpu
    assert [(each / "cgroup.procs").read_text() for each in cgroups] == ["0", "0"]


@pytest.mark.usefixtures("light")
def test_a_cgroup_that_is_not_there_is_named(temporary: Path) -> None:
    with (
        pytest.raises(ExperimentError, match="/nowhere/cgroup.procs: No such file"),
        VARIANTS["grpc"].servers([["/nowhere"]], [-1], 0.0007),
    ):
        pass
    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("light")
def test_a_server_that_does_not_start_says_why(temporary: Path) -> None:
    def broken(port: int, amount: int, directory: Path) -> Sequence[str]:
        return [sys.executable, "-c", "import sys; sys.exit('no such directive')"]

    of = replace(VARIANTS["uvicorn"], command=broken)
    with (
        pytest.raises(
            ExperimentError, match="starting uvicorn: it ended with status 1: no such directive"
        ),
        of.servers([()], [-1], 0.0007),
    ):
        pass
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "remedy"), [("nginx", "apt-get install nginx"), ("uvicorn", "pip install uvicorn")]
)
@pytest.mark.usefixtures("light")
def test_what_is_not_installed_is_said_with_how_to_install_it(
    name: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str, path: str = "") -> None:
        return None

    monkeypatch.setattr(shutil, "which", nothing)
    monkeypatch.setattr("resonance.bench.reference.variants.commands.find_spec", nothing)
    with (
        pytest.raises(ExperimentError, match=remedy),
        VARIANTS[name].servers([()], [-1], 0.0007),
    ):
        pass


def test_nothing_listens_is_an_error() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            VARIANTS["uvicorn"].links([holder.getsockname()[1]], 1)


# ---- how much work -----------------------------------------------------------------------------


class Costs:
    def __init__(self, of: Callable[[int], float]) -> None:
        self.of = of
        self.asked: list[int] = []

    def __call__(self, amount: int) -> float:
        self.asked.append(amount)
        return self.of(amount)


def test_an_amount_is_found_where_the_cost_is_in_proportion() -> None:
    costs = Costs(lambda amount: 1e-4 + 1e-6 * amount)
    assert amount_of(costs, (1, 2_000), 7e-4) == 600


def test_an_amount_is_found_beyond_the_guesses() -> None:
    costs = Costs(lambda amount: 1e-6 * amount)
    assert amount_of(costs, (1, 100), 7e-4) == 700
    assert max(costs.asked) == 800


def test_an_amount_is_found_nearly_where_the_cost_rises_faster() -> None:
    costs = Costs(lambda amount: 5e-5 + 5e-12 * amount**2)
    found = amount_of(costs, (1_024, 16_384), 7e-4)
    assert costs.of(found) == pytest.approx(7e-4, rel=0.05)


def test_work_that_costs_more_at_once_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"takes 0.80 ms here, and 0.70 ms are asked for"):
        amount_of(lambda amount: 8e-4, (1, 2_000), 7e-4)


def test_work_that_never_costs_so_much_is_refused() -> None:
    with pytest.raises(ExperimentError, match="ask for less"):
        amount_of(lambda amount: 1e-4, (1, 2_000), 7e-4)


def test_work_is_found_once_and_named_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def cost(self: Variant, amount: int) -> float:
        asked.append(amount)
        return 1e-4 + 1e-6 * amount

    monkeypatch.setattr(Variant, "cost_seconds", cost)
    of = replace(VARIANTS["grpc"], name="some server")
    assert variant._amount(of, 7e-4) == variant._amount(of, 7e-4) == 600
    assert asked == [1, 2_000, 600]
    with pytest.raises(ExperimentError, match="calibrating some server: without any work"):
        variant._amount(of, 5e-5)


# ---- how a cancelled call ends -----------------------------------------------------------------


class ScriptedWire:
    """Ends the call of a stream with its DATA, or as reset."""

    def __init__(self) -> None:
        self.capacity = 3
        self.is_reusable = True
        self.open: dict[int, int] = {}
        self.got = b""

    def begin(self) -> bytes:
        return b""

    def send(self, number: int, request: int) -> bytes:
        self.open[2 * len(self.open) + 1] = number
        return b""

    def receive(self, data: bytes) -> list[tuple[int, Outcome]]:
        return list(self._ended(data))

    def _ended(self, data: bytes) -> Iterator[tuple[int, Outcome]]:
        self.got += data
        while data:
            _, length, kind, _, stream = frames.HEAD.unpack_from(data)
            data = data[frames.HEAD.size + length :]
            number = self.open.get(stream)
            if number is not None:
                self.open[stream] = None  # type: ignore[assignment]
                yield number, Outcome.OK if kind == frames.DATA else Outcome.RESET

    def reply(self) -> bytes:
        return b""

    def end(self) -> list[tuple[int, Outcome]]:
        return []


def answered(stream: int) -> bytes:
    return frames.frame(frames.DATA, frames.END_STREAM, stream, b"answer")


def read(stream: int) -> bytes:
    return frames.frame(frames.PING, frames.ACK, 0, stream.to_bytes(8, "big"))


@pytest.fixture
def wire() -> CancellingWire:
    made = CancellingWire(ScriptedWire())
    for number in (70, 80):
        made.send(number, 0)
    return made


def test_a_call_is_cancelled_by_a_reset_and_a_ping_that_names_it(wire: CancellingWire) -> None:
    sent = wire.cancel(80)
    assert sent == frames.reset(3, frames.CANCEL) + frames.frame(
        frames.PING, 0, 0, (3).to_bytes(8, "big")
    )


def test_a_cancelled_call_is_over_when_the_server_has_read_so(wire: CancellingWire) -> None:
    wire.cancel(80)
    assert wire.receive(answered(1)) == [(70, Outcome.OK)]
    assert wire.receive(read(3)) == [(80, Outcome.RESET)]
    assert [wire.was_cancelled(70), wire.was_cancelled(80)] == [False, True]


def test_an_answer_that_was_under_way_ends_a_cancelled_call_and_nothing_else_does(
    wire: CancellingWire,
) -> None:
    wire.cancel(80)
    assert wire.receive(answered(3) + read(3)) == [(80, Outcome.OK)]
    assert wire.receive(read(3)) == []


def test_frames_may_come_in_any_pieces(wire: CancellingWire) -> None:
    wire.cancel(80)
    ended = [end for byte in read(3) + answered(1) for end in wire.receive(bytes([byte]))]
    assert ended == [(80, Outcome.RESET), (70, Outcome.OK)]
