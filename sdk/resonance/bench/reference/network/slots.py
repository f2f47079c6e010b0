# SPDX-License-Identifier: MIT
"""One arm of one repetition on a link of its own: who runs where, and what came of it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from resonance.bench import records
from resonance.bench.digest import Calls, digest
from resonance.bench.errors import ExperimentError
from resonance.bench.machine import busy_seconds
from resonance.bench.records import Rule, Slot
from resonance.bench.reference.daemon import applied
from resonance.bench.reference.network.links import FAR, NEAR, Link, Namespaces, enter, link

__all__ = ["BBR", "CUBIC", "RATE_PER_SECOND", "REPLY_BYTES", "RULE", "Round", "due_seconds"]

CUBIC: Final = "cubic"
BBR: Final = "bbr"
RATE_PER_SECOND: Final = 60.0
REPLY_BYTES: Final = 24 * 1024
RULE: Final = Rule(max_foreign_cores=0.3)
_REQUEST_BYTES: Final = 128
_TIMEOUT_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 30.0
_ENDS: Final = Path(__file__).with_name("ends.py")
_PROFILE: Final = f'[network]\nroute_congestion = "{BBR}"\n'


def due_seconds(seconds: float, seed: object) -> list[float]:
    """Draw when calls are due (Poisson).

    Parameters
    ----------
    seconds : float
        How long calls are due.
    seed : object
        Equal ones, by their text, draw the same.

    Returns
    -------
    list of float
        Seconds from the beginning, rising; at least one.
    """
    draw = Random(f"{seed} calls")  # noqa: S311 - when calls are due is no secret
    drawn = [draw.expovariate(RATE_PER_SECOND)]
    while drawn[-1] < seconds:
        drawn.append(drawn[-1] + draw.expovariate(RATE_PER_SECOND))
    return drawn[:-1] or [0.0]


@dataclass(frozen=True, slots=True)
class Round:
    """What all arms of a repetition have in common.

    Attributes
    ----------
    link : Link
    bulk_flows : int
        That the same server sends beside its answers.
    repetition : int
    seconds, warm_up_seconds : float
        What is measured, and what goes before it.
    seed : object
        Of when calls are due.
    """

    link: Link
    bulk_flows: int
    repetition: int
    seconds: float
    warm_up_seconds: float
    seed: object

    def slot(self, where: Namespaces, congestion: str) -> Slot:
        """Measure one arm; all that it started has ended then.

        Parameters
        ----------
        where : Namespaces
        congestion : {"cubic", "bbr"}
            CUBIC is asked for by the server itself, BBR is put in force by the daemon.

        Returns
        -------
        Slot

        Raises
        ------
        ExperimentError
            Something did not start, or the connections were not what they were to be.
        """
        busy, ours, begun = busy_seconds(), _used_seconds(), time.monotonic()
        loss_seed = Random(f"{self.seed} losses").getrandbits(31)  # noqa: S311 - nor what is lost
        with link(where, self.link, loss_seed) as passed, _in_force(where, congestion):
            words = [NEAR, str(_REQUEST_BYTES), str(REPLY_BYTES)]
            words += [CUBIC] if congestion == CUBIC else []
            with _end(where.near, "serve", *words) as server:
                ports: list[int] = _line(server)
                came, bulk_bytes = self._came(where, *ports)
                used: list[str] = _ended(server)
        if used != [congestion]:
            told = ", ".join(used) or "none"
            raise ExperimentError("choosing a congestion control", f"{told}, not {congestion}")
        elapsed = time.monotonic() - begun
        foreign = (busy_seconds() - busy - (_used_seconds() - ours)) / elapsed
        costs = {"dropped_ratio": passed.dropped_ratio}
        if self.bulk_flows:
            costs["bulk_bytes_per_second"] = bulk_bytes / self.seconds
        return digest(
            Calls(*zip(*came["calls"], strict=True)),
            seconds=self.warm_up_seconds + self.seconds,
            warm_up_seconds=self.warm_up_seconds,
            started_at=came["started_at"],
            repetition=self.repetition,
            rule=RULE,
            generator=records.Generator(**came["generator"]),
            foreign_cores=max(0.0, foreign),
            costs=costs,
        ).slot

    def _came(self, where: Namespaces, requests: int, bulk: int) -> tuple[dict[str, Any], int]:
        """Ask, and take the bulk meanwhile; return what the asker says, and bytes of bulk."""
        due = due_seconds(self.warm_up_seconds + self.seconds, self.seed)
        words = map(str, (NEAR, requests, _REQUEST_BYTES, REPLY_BYTES, _TIMEOUT_SECONDS))
        with ExitStack() as stack:
            taker = None
            if self.bulk_flows:
                flows = str(self.bulk_flows)
                taker = stack.enter_context(_end(where.far, "take", NEAR, str(bulk), flows))
                _line(taker)
            asker = stack.enter_context(_end(where.far, "ask", *words))
            _line(asker)
            _say(asker, json.dumps(due))
            time.sleep(self.warm_up_seconds)
            before = _asked(taker) if taker else 0
            time.sleep(self.seconds)
            taken = _asked(taker) - before if taker else 0
            return _ended(asker), taken


def _in_force(where: Namespaces, congestion: str) -> AbstractContextManager[None]:
    if congestion == CUBIC:
        return nullcontext()
    return applied(_PROFILE, routes=[FAR], network_namespace=where.near)


@contextmanager
def _end(namespace: str, *words: str) -> Generator[subprocess.Popen[str]]:
    command = [*enter(namespace), sys.executable, str(_ENDS), *words]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _line(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return _parsed(process, process.stdout.readline())


def _say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def _asked(process: subprocess.Popen[str]) -> int:
    _say(process, "")
    return int(_line(process))


def _ended(process: subprocess.Popen[str]) -> Any:
    """End the input; return what is said to that."""
    try:
        said, errors = process.communicate(timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        raise ExperimentError("running an end of the link", "it hangs") from None
    return _parsed(process, said, errors)


def _parsed(process: subprocess.Popen[str], said: str, errors: str = "") -> Any:
    try:
        return json.loads(said)
    except ValueError:
        reason = (errors or process.communicate()[1]).strip().splitlines()
        told = reason[-1] if reason else f"it ended with {process.wait()}"
        raise ExperimentError("running an end of the link", told) from None


def _used_seconds() -> float:
    """Return the CPU time of this process and of all it has started that have ended."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = map(resource.getrusage, who)
    return sum(each.ru_utime + each.ru_stime for each in used)
