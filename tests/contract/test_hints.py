# SPDX-License-Identifier: MIT
"""The SDK against a daemon: the same story for threads and for asyncio."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import resonance
from fakes.hint_service import HintService
from fakes.snapshots import RHYTHM, WEB, distribution
from resonance.hints import AsyncHints, Hints, State, aio, connect
from resonance.hints._records import state_from_wire
from resonance_api.hints.v1 import hints_pb2
from resonanced.hints.settings import HintsSettings
from resonanced.model import Rhythm

SETTINGS = HintsSettings(heartbeat_seconds=0.2, valid_for_seconds=60.0)
PATIENCE = 10.0


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def service(directory: Path) -> Iterator[HintService]:
    with HintService(directory, SETTINGS) as service:
        service.publish(runqueue=distribution({WEB.index: [1_000, 2_000, 4_000]}))
        service.write()
        yield service


@pytest.fixture(params=["threads", "asyncio"])
def client(request: pytest.FixtureRequest, directory: Path) -> Iterator[Client]:
    """The same calls, made by a thread or by an event loop."""
    client = Client(directory / "hints.sock", is_async=request.param == "asyncio")
    yield client
    client.close()


class Client:
    def __init__(self, socket: Path, *, is_async: bool) -> None:
        self._runner = asyncio.Runner() if is_async else None
        self.hints: Hints | AsyncHints = aio.connect(socket) if is_async else connect(socket)

    def ask(self, name: str, *arguments: Any, **options: Any) -> Any:
        answer = getattr(self.hints, name)(*arguments, **options)
        return self._runner.run(_wait(answer)) if self._runner else answer

    def states(self, count: int, **options: Any) -> list[State | None]:
        """Return the first so many of a subscription."""
        if self._runner:
            return self._runner.run(self._async_states(count, **options))
        assert isinstance(self.hints, Hints)
        states: queue.Queue[State | None] = queue.Queue()
        with self.hints.subscribe(states.put, **options):
            return [states.get(timeout=PATIENCE) for _ in range(count)]

    async def _async_states(self, count: int, **options: Any) -> list[State | None]:
        assert isinstance(self.hints, AsyncHints)
        states: list[State | None] = []
        async with asyncio.timeout(PATIENCE):
            async for state in self.hints.subscribe(**options):
                states.append(state)
                if len(states) == count:
                    break
        return states

    def close(self) -> None:
        self.ask("close")
        if self._runner:
            self._runner.close()


async def _wait(answer: Awaitable[Any]) -> Any:
    return await answer


def eventually(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_state_now(service: HintService, client: Client) -> None:
    state = client.ask("state", timeout=PATIENCE)
    assert (state.sequence, state.tier, state.mode, state.hierarchy) == (1, "core", "observe", "v2")
    assert state.is_fresh
    assert [each.cgroup for each in state.cgroups] == ["other", WEB.cgroup]
    assert client.hints.status.service == ""


def test_the_rhythm_of_the_node(service: HintService, client: Client) -> None:
    assert client.ask("state", timeout=PATIENCE).rhythm is None
    service.publish(rhythm=RHYTHM)
    told = client.ask("state", ["/nobody"], timeout=PATIENCE).rhythm
    assert (told.sources, told.eligible_sources, told.held_sources) == (8, 6, 4)
    for name in set(told.__struct_fields__) & set(Rhythm.__slots__) - {"neighbours", "sources"}:
        assert getattr(told, name) == getattr(RHYTHM, name), name
    (neighbour,) = told.neighbours
    assert (neighbour.cgroup, neighbour.cgroup_id) == (WEB.cgroup, WEB.cgroup_id)
    assert (neighbour.period_seconds, neighbour.is_named) == (0.1, True)


def test_what_is_not_known_of_the_rhythm_is_none(service: HintService, client: Client) -> None:
    service.publish(rhythm=Rhythm(mode="shadow"))
    told = client.ask("state", timeout=PATIENCE).rhythm
    assert (told.mode, told.guard_state, told.neighbours, told.profile_seconds) == (
        "shadow",
        "",
        (),
        (),
    )
    assert told.dominant_period_seconds is None
    assert told.order_parameter is None
    assert told.predicted_peak_ns is None
    assert told.delay_bound_seconds is None


def test_what_policies_may_do_is_in_the_state_and_on_the_page(
    service: HintService, client: Client
) -> None:
    assert client.ask("state", timeout=PATIENCE).policy_ceiling == "active"
    service.publish(policy_ceiling="observe")
    service.page.say_policy_ceiling("observe")
    assert client.ask("state", ["/nobody"], timeout=PATIENCE).policy_ceiling == "observe"
    assert client.hints.policy_ceiling() == "observe"


def test_another_ceiling_is_a_change_and_no_heartbeat(
    service: HintService, directory: Path
) -> None:
    states: queue.Queue[State | None] = queue.Queue()
    with connect(directory / "hints.sock") as hints, hints.subscribe(states.put):
        assert states.get(timeout=PATIENCE) is not None
        service.publish(policy_ceiling="advise")
        while (state := states.get(timeout=PATIENCE)) is None or state.policy_ceiling != "advise":
            pass
        assert not state.is_heartbeat


def test_what_an_older_daemon_says_of_policies_is_none() -> None:
    assert state_from_wire(hints_pb2.State()).policy_ceiling is None
    assert state_from_wire(hints_pb2.State(policy_ceiling="later")).policy_ceiling is None


def test_a_reading_has_its_age(service: HintService, client: Client) -> None:
    reading = client.hints.reading("other")
    assert reading is not None
    assert reading.pressure == 0.0
    assert 0.0 <= reading.age_seconds < SETTINGS.valid_for_seconds


def test_one_cgroup_with_its_histograms(service: HintService, client: Client) -> None:
    state = client.ask("state", ["*.service"], include_histograms=True, timeout=PATIENCE)
    (web,) = state.cgroups
    assert (web.cgroup, web.pressure, web.slot_generation) == (WEB.cgroup, 0.25, WEB.generation)
    assert web.latency("runqueue") is web.runqueue
    assert sum(web.runqueue.histogram.counts) == web.runqueue.count == 3


def test_percentiles(service: HintService, client: Client) -> None:
    latency = client.ask("percentiles", WEB.cgroup, timeout=PATIENCE)
    assert latency.recent_count == 3
    assert 3e-6 < latency.p99_seconds <= 4.1e-6
    assert client.ask("percentiles", WEB.cgroup, "srtt").p99_seconds is None
    assert client.ask("percentiles", "/gone") is None


def test_percentiles_of_this_process_without_a_slot_are_none(
    service: HintService, client: Client
) -> None:
    assert client.ask("percentiles", timeout=PATIENCE) is None


def test_pressure(service: HintService, client: Client) -> None:
    assert client.hints.pressure("other") == 0.0
    assert client.hints.status.page == ""


def test_resolve(service: HintService, client: Client) -> None:
    for subject in ("127.0.0.1:8080", 4):
        resolution = client.ask("resolve", subject, timeout=PATIENCE)
        assert (resolution.is_known, resolution.cgroup) == (True, WEB.cgroup)
    unknown = client.ask("resolve", 1, timeout=PATIENCE)
    assert (unknown.is_known, unknown.reason) == (False, "no such process")


def test_a_subject_that_is_none_is_an_answer_and_the_daemon_stays_near(
    service: HintService, client: Client
) -> None:
    resolution = client.ask("resolve", "nonsense", timeout=PATIENCE)
    assert not resolution.is_known
    assert "has no port" in resolution.reason
    assert client.ask("state", timeout=PATIENCE).sequence == 1


@pytest.mark.parametrize("wrong", [1.5, [], b"\xff"])
def test_a_wrong_type_is_a_mistake_of_the_program(
    service: HintService, client: Client, wrong: object
) -> None:
    with pytest.raises(TypeError):
        client.ask("resolve", wrong)


def test_a_subscription_begins_with_the_state_now(service: HintService, client: Client) -> None:
    first, second = client.states(2, interval_seconds=0.001)
    assert first is not None
    assert second is not None
    assert (first.sequence, first.is_heartbeat) == (1, False)
    assert (second.sequence, second.is_heartbeat) == (1, True)


def test_no_daemon_is_unknown_and_never_an_error(client: Client, directory: Path) -> None:
    assert client.ask("state") is None
    assert client.ask("percentiles") is None
    assert not client.ask("resolve", 4).is_known
    assert client.hints.pressure() is None
    assert client.states(1) == [None]
    reason = "no daemon here; start `resonanced run`"
    assert client.hints.status.service == f"{directory}/hints.sock: {reason}"
    assert client.hints.status.page == f"{directory}/hints.page: {reason}"


def test_a_daemon_that_is_away_is_not_asked_at_each_call(client: Client) -> None:
    client.ask("state")
    client.hints._link._open_at = float("inf")
    assert [client.ask("state") for _ in range(1_000)] == [None] * 1_000


def test_a_restarted_daemon_is_found(client: Client, directory: Path) -> None:
    instances = set()
    for _ in range(2):
        with HintService(directory, SETTINGS) as service:
            service.publish()
            service.write()
            eventually(lambda: client.ask("state"))
            instances.add(client.ask("state", timeout=PATIENCE).instance)
            eventually(lambda: client.hints.pressure("other") == 0.0)
        assert client.hints.pressure("other") is None
        assert client.ask("state") is None
    assert len(instances) == 2


def test_a_subscription_outlives_a_daemon(directory: Path) -> None:
    states: queue.Queue[State | None] = queue.Queue()
    with connect(directory / "hints.sock") as hints, hints.subscribe(states.put):
        assert states.get(timeout=PATIENCE) is None
        for _ in range(2):
            with HintService(directory, SETTINGS) as service:
                service.publish()
                state = states.get(timeout=PATIENCE)
                assert state is not None
                assert state.sequence == 1
            while states.get(timeout=PATIENCE) is not None:
                pass


class Refusing(grpc.GenericRpcHandler):
    """A daemon that answers every call with one status."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def service(self, _: object) -> grpc.RpcMethodHandler[bytes, bytes]:
        def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
            context.abort(self._code, "its words")

        return grpc.unary_unary_rpc_method_handler(refuse)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNIMPLEMENTED, "the daemon speaks another version"),
        (grpc.StatusCode.INTERNAL, "its words"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "its words"),
    ],
)
def test_a_daemon_that_refuses_is_unknown(
    client: Client, directory: Path, code: grpc.StatusCode, reason: str
) -> None:
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads, handlers=(Refusing(code),))
        server.add_insecure_port(f"unix:{directory}/hints.sock")
        server.start()
        assert client.ask("state", timeout=PATIENCE) is None
        assert reason in client.hints.status.service
        server.stop(grace=None).wait()


def test_a_daemon_that_does_not_answer_costs_the_timeout_once(
    client: Client, directory: Path
) -> None:
    with closing(_deaf(directory / "hints.sock")):
        assert client.ask("state", timeout=0.05) is None
        assert "no answer in time" in client.hints.status.service


def _deaf(path: Path) -> Any:
    import socket

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def test_a_closed_client_knows_nothing(service: HintService, client: Client) -> None:
    assert client.ask("state", timeout=PATIENCE)
    client.ask("close")
    assert client.ask("state") is None
    assert client.hints.pressure("other") is None
    assert client.hints.status == resonance.hints.Status(page="closed", service="closed")


def test_a_state_that_waited_behind_a_slow_callback_is_not_handed_out(directory: Path) -> None:
    settings = HintsSettings(heartbeat_seconds=0.1, valid_for_seconds=0.3)
    ages: list[float] = []
    done = threading.Event()

    def slow(state: State | None) -> None:
        if state is not None:
            ages.append(state.age_seconds)
            time.sleep(0.5 if len(ages) == 1 else 0.0)
        if len(ages) == 5:
            done.set()

    with HintService(directory, settings) as service, connect(service.socket) as hints:
        service.publish()
        with hints.subscribe(slow, interval_seconds=0.01):
            sequence = 1
            while not done.wait(0.05):
                sequence += 1
                service.publish(pressure=np.full(64, sequence / 10_000))
    assert max(ages) <= 0.3


def test_a_callback_that_raises_ends_its_subscription(
    service: HintService, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: queue.Queue[object] = queue.Queue()
    monkeypatch.setattr(threading, "excepthook", lambda hook: raised.put(hook.exc_type))

    def broken(_: State | None) -> None:
        raise ZeroDivisionError

    with connect(service.socket) as hints:
        hints.subscribe(broken)
        assert raised.get(timeout=PATIENCE) is ZeroDivisionError


def test_a_forked_child_asks_on_a_connection_of_its_own(service: HintService) -> None:
    program = f"""
import os, resonance
hints = resonance.hints.connect({str(service.socket)!r})
assert hints.state(timeout=10).sequence == 1
child = os.fork()
assert hints.state(timeout=10).sequence == 1, hints.status
assert hints.pressure("other") == 0.0, hints.status
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_many_threads_share_one_client(service: HintService) -> None:
    with connect(service.socket) as hints, ThreadPoolExecutor(16) as threads:
        states = list(threads.map(lambda _: hints.state(timeout=PATIENCE), range(200)))
    assert {state and state.sequence for state in states} == {1}


def test_a_stopped_daemon_is_unknown_after_the_validity_and_known_again(
    directory: Path,
) -> None:
    """SIGSTOP, not SIGKILL: the socket still accepts, and nobody answers."""
    program = """
import sys, time
from pathlib import Path
from fakes.hint_service import HintService
with HintService(Path(sys.argv[1])) as service:
    print("ready", flush=True)
    while True:
        service.publish()
        service.write()
        time.sleep(0.05)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with (
        subprocess.Popen(
            [sys.executable, "-c", program, str(directory)],
            env=environment,
            stdout=subprocess.PIPE,
        ) as daemon,
        connect(directory / "hints.sock") as hints,
    ):
        assert daemon.stdout is not None
        daemon.stdout.readline()
        eventually(lambda: hints.pressure("other") == 0.0 and hints.state())
        daemon.send_signal(signal.SIGSTOP)
        eventually(lambda: hints.pressure("other") is None)
        assert hints.state(timeout=0.2) is None
        daemon.send_signal(signal.SIGCONT)
        eventually(lambda: hints.pressure("other") == 0.0 and hints.state())
        daemon.kill()
        eventually(lambda: hints.pressure("other") is None and hints.state() is None)


def test_an_event_loop_that_follows_another_asks_on_a_connection_of_its_own(
    service: HintService,
) -> None:
    hints = aio.connect(service.socket)
    for _ in range(2):
        assert asyncio.run(_wait(hints.state(timeout=PATIENCE))) is not None, hints.status
    asyncio.run(_wait(hints.close()))


def test_a_child_forked_beside_an_event_loop_lives_and_knows_no_more_than_the_page(
    service: HintService,
) -> None:
    program = f"""
import asyncio, os, resonance
path = {str(service.socket)!r}
async def parent():
    assert (await resonance.hints.aio.connect(path).state(timeout=10)).sequence == 1
    child = os.fork()
    if child:
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        os._exit(os.waitstatus_to_exitcode(status))
    hints = resonance.hints.connect(path)
    assert hints.pressure("other") == 0.0, hints.status
    assert hints.state(timeout=10) is None
    assert "forked" in hints.status.service
    states = []
    with hints.subscribe(states.append):
        while not states:
            pass
    os._exit(0 if states == [None] else 3)
asyncio.run(parent())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("path", ["/", "/" + "x" * 120 + "/hints.sock"])
def test_a_socket_that_cannot_be_is_unknown_without_a_word_on_standard_error(
    path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for is_async in (False, True):
        client = Client(Path(path), is_async=is_async)
        assert client.ask("state") is None
        assert client.hints.pressure() is None
        assert client.hints.status.service
        client.close()
    assert capfd.readouterr().err == ""
