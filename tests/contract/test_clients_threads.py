# SPDX-License-Identifier: MIT
"""What a client for threads promises when something goes wrong."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fakes.attempts import (
    PATIENCE_SECONDS,
    FakeHints,
    Script,
    at_rest,
    hangs,
    raises,
    returns,
)
from resonance import Client, current_attempt
from resonance.errors import DeadlineExceededError
from resonance.policies import (
    HedgePolicy,
    Policy,
    RetryPolicy,
    TaskHint,
)

SOON = 0.001
NEVER = 3600.0
TARGETS = ("a", "b")
IDEMPOTENT = TaskHint(idempotent=True)
HEDGE = Policy(hedge=HedgePolicy(delay=SOON))
RETRY = Policy(retry=RetryPolicy(base_delay=0.0, max_delay=0.0))
EITHER_WAY = pytest.mark.parametrize("inline", [False, True])


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(HEDGE | RETRY, hints=FakeHints()) as made:
        yield made


def wait_until(is_so: Callable[[], bool]) -> None:
    gives_up_at = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < gives_up_at
        time.sleep(SOON)


def threads_of_ours() -> list[str]:
    names = ("resonance-worker", "resonance-timer")
    return [thread.name for thread in threading.enumerate() if thread.name in names]


# ---- functions that do as they like ------------------------------------------------------------


def test_a_callback_given_too_late_is_called_at_once(client: Client) -> None:
    called, goes_on = threading.Event(), threading.Event()

    def fn(_: str) -> None:
        attempt = current_attempt()
        assert attempt is not None
        assert goes_on.wait(PATIENCE_SECONDS)
        attempt.on_cancel(called.set)

    with pytest.raises(DeadlineExceededError):
        client.call(TARGETS, fn, timeout=0.010)
    goes_on.set()
    assert called.wait(PATIENCE_SECONDS)
    at_rest(client)


# ---- interrupts --------------------------------------------------------------------------------


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Have SIGINT interrupt, which a shell ignores for what it runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@EITHER_WAY
def test_an_interrupt_before_a_retry_ends_the_call(client: Client, inline: bool) -> None:
    policy = Policy(retry=RetryPolicy(strategy="fixed", base_delay=NEVER, max_delay=NEVER))
    main = threading.get_ident()
    timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT))

    def fn(_: str) -> None:
        timer.start()
        raise OSError

    timeout = None if inline else 2 * NEVER
    with pytest.raises(KeyboardInterrupt):
        client.call(TARGETS, fn, policy, hint=IDEMPOTENT, inline=inline, timeout=timeout)
    timer.join()
    report = at_rest(client)
    assert (report.failures, report.calls_inflight, report.retries) == (1, 0, 0)


# ---- the end of a client -----------------------------------------------------------------------


@EITHER_WAY
def test_a_call_under_way_at_the_end_goes_on_alone(client: Client, inline: bool) -> None:
    script = Script(returns("first", lambda _: True, before=client.close))
    outcome = client.call(
        TARGETS, script.in_thread, RETRY, hint=IDEMPOTENT, timeout=NEVER, inline=inline
    )
    assert outcome.result == "first"


@EITHER_WAY
def test_a_call_that_fails_after_the_end_is_not_tried_again(client: Client, inline: bool) -> None:
    error = OSError("first")
    script = Script(raises(error, before=client.close), returns("second"))
    with pytest.raises(OSError) as caught:
        client.call(TARGETS, script.in_thread, RETRY, hint=IDEMPOTENT, timeout=NEVER, inline=inline)
    assert caught.value is error
    assert len(script.attempts) == 1
    assert at_rest(client).calls_inflight == 0


@EITHER_WAY
def test_a_deadline_holds_though_the_client_is_closed(client: Client, inline: bool) -> None:
    script = Script(hangs(before=client.close))
    with pytest.raises(DeadlineExceededError):
        client.call(TARGETS, script.in_thread, Policy(), timeout=0.05, inline=inline)
    at_rest(client)
    assert script.left == [1]


def test_threads_end_with_the_client(client: Client) -> None:
    wait_until(lambda: not threads_of_ours())  # those of other tests
    client.call(TARGETS, Script(hangs(), returns("copy")).in_thread, hint=IDEMPOTENT, inline=True)
    client.call(TARGETS, Script(returns("worker")).in_thread, timeout=NEVER)
    assert set(threads_of_ours()) == {"resonance-worker", "resonance-timer"}
    client.close()
    wait_until(lambda: not threads_of_ours())


# ---- what the system does not give -------------------------------------------------------------


def test_a_timer_that_cannot_begin_is_tried_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "resonance-timer":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        alone = client.call(
            TARGETS, Script(returns("first")).in_thread, hint=IDEMPOTENT, inline=True
        )
    assert alone.result == "first"
    script = Script(hangs(), returns("copy"))
    outcome = client.call(TARGETS, script.in_thread, hint=IDEMPOTENT, inline=True)
    assert outcome.result == "copy"
    at_rest(client)


def test_what_breaks_the_timer_of_one_call_leaves_the_others_theirs(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[Any]()
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_value))
    targets: list[Any] = ["a", "b"]
    script = Script(
        returns("first", lambda _: bool(told), before=lambda: targets.append(["unhashable"]))
    )
    unhurried = HEDGE | HedgePolicy(delay=1.0)  # not before the list has changed
    outcome = client.call(targets, script.in_thread, unhurried, hint=IDEMPOTENT, inline=True)
    assert outcome.result == "first"
    assert isinstance(told[0], TypeError)
    copied = Script(hangs(), returns("copy"))
    outcome = client.call(TARGETS, copied.in_thread, unhurried, hint=IDEMPOTENT, inline=True)
    assert outcome.result == "copy"
    at_rest(client)


# ---- forks -------------------------------------------------------------------------------------


def in_child(work: Callable[[], object]) -> str:
    """Fork, work, and return what the child has to say."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writer, str(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        text = said.read()
    os.waitpid(pid, 0)
    return text


def test_a_fork_while_another_thread_is_at_its_busiest_locks_nobody_out(client: Client) -> None:
    client.retry(lambda: None, service="known")
    with client._lock:
        said = in_child(lambda: client.retry(lambda: "child", service="known").result)
    assert said == "child"


def test_forked_children_do_not_draw_the_same(client: Client) -> None:
    def delays() -> list[float]:
        state = client._service("retry", "draws", len, None)
        assert state.backoff is not None
        return [client._random.random() for _ in range(3)]

    assert len({in_child(delays), in_child(delays), str(delays())}) == 3


# ---- many --------------------------------------------------------------------------------------


@pytest.fixture
def often_switched() -> Iterator[None]:
    """Have the interpreter change threads as often as it can."""
    import sys

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("often_switched")
def test_first_calls_at_the_same_moment_are_of_one_service() -> None:
    with Client(Policy(), hints=FakeHints()) as client:
        together = threading.Barrier(16)

        def call() -> None:
            together.wait()
            client.call(TARGETS, lambda _: None, inline=True, service="one")

        threads = [threading.Thread(target=call) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (report,) = client.report()
        assert report.calls == report.successes == 16


def test_calls_that_have_ended_are_not_kept_until_their_deadline(client: Client) -> None:
    for act in (returns("done"), raises(ValueError())):
        try:
            client.call(TARGETS, Script(act).in_thread, Policy(), timeout=NEVER, inline=True)
        except ValueError:
            assert act is not None
    copied = Script(hangs(), returns("copy"))
    client.call(TARGETS, copied.in_thread, hint=IDEMPOTENT, timeout=NEVER, inline=True)
    wait_until(lambda: not any(report.inflight for report in client.report()))
    assert not any(client._wheel._slots.values())
