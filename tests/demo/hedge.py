# SPDX-License-Identifier: MIT
"""Three replicas, one of them with noisy neighbours: what a client does, and by whose word.

``make demo-hedge`` takes about a minute, on two CPUs, and needs root, as its second half measures
this kernel. It starts three small HTTP servers, each in a cgroup of its own, and one client that
asks them under the profile ``balanced``. The client is first without a daemon and only knows what
it sees itself: a copy goes where few of its own requests are. Then a service of the demo's own is
started, and the same client goes by the kernel: copies are sent earlier, and none is where all
replicas are busy. At last the operator switches them off. Nothing of it is left, however it ends.

::

    replica   a server, and its neighbours
    stage     cgroups, programs and the service
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import httpx

import resonance
from replica import BURST_SECONDS, PERIOD_SECONDS, WORK_SECONDS
from resonance.client import ServiceReport
from resonance.integrations.httpx import AsyncTransport, outcome_of
from resonance.policies import SENTENCES, Outcome, Reason
from stage import ORPHAN_SECONDS, own_cgroup, prepare, say, serving, show, started, warn_if_busy

REPLICAS: Final = 3
RATE_HZ: Final = 50.0
LEARN_SECONDS: Final = 4.0
"""A hundred latencies are needed to begin with, and a few bursts."""
SHOWN_SECONDS: Final = 12.0
OFF_SECONDS: Final = 3.0
OBEYED_SECONDS: Final = 1.0
"""By then every client has heard of the switch."""
PATIENCE_SECONDS: Final = 15.0
"""A client looks for the daemon every five seconds."""
PORT: Final = 19_760
SERVICE: Final = "http://pages"
USUAL: Final = frozenset({Reason.CHOSEN})
"""What says nothing about copies."""


class Users:
    """Those who ask at set moments, answered or not.

    Parameters
    ----------
    http : httpx.AsyncClient
    client : resonance.AsyncClient
        What the other one sends by.
    """

    def __init__(self, http: httpx.AsyncClient, client: resonance.AsyncClient) -> None:
        self._http = http
        self._client = client

    def report(self) -> ServiceReport:
        """Return what was done so far."""
        (report,) = self._client.report()
        return report

    async def ask(self, seconds: float) -> list[Outcome[None]]:
        """Ask for a while; return what became of it."""
        start = time.monotonic()
        async with asyncio.TaskGroup() as group:
            asked: list[asyncio.Task[Outcome[None]]] = []
            for number in range(int(seconds * RATE_HZ)):
                await asyncio.sleep(max(0.0, start + number / RATE_HZ - time.monotonic()))
                asked.append(group.create_task(self._ask()))
        return [each.result() for each in asked]

    async def _ask(self) -> Outcome[None]:
        outcome = outcome_of(await self._http.get(f"{SERVICE}/"))
        assert outcome is not None
        return outcome

    async def until_pressure_is_known(self) -> None:
        """Ask until the client knows where its replicas are."""
        end = time.monotonic() + PATIENCE_SECONDS
        while any(each.pressure is None for each in self.report().replicas):
            if time.monotonic() > end:
                print("the client does not know the pressure of its replicas")
                return
            await self.ask(0.5)

    async def show(self, seconds: float, examples: Iterable[Reason]) -> None:
        """Ask for a while, and print what came of it."""
        before = self.report()
        outcomes = await self.ask(seconds)
        after = self.report()
        _tell(outcomes, before, after)
        for reason in examples:
            found = next((each for each in outcomes if reason in each.reasons), None)
            if found is not None:
                print(f"\n{self._client.explain(found)}")


def main() -> None:
    """Show it."""
    prepare()
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(own_cgroup(f"-{number}")) for number in range(REPLICAS)]
        parent = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="resonance-demo-", dir="/run")
        )
        os.chmod(parent, 0o755)
        directory, config = Path(parent, "resonance"), Path(parent, "resonanced.toml")
        config.write_text(
            f'[service]\nruntime_directory = "{directory}"\nlog_level = "warning"\n'
            f"[telemetry]\nport = {PORT}\n[phase]\nanalysis = false\n"
        )
        os.environ["RESONANCE_HINTS_SOCKET"] = str(directory / "hints.sock")
        say(
            f"{REPLICAS} replicas answer {RATE_HZ:g} requests a second with "
            f"{WORK_SECONDS * 1e3:g} ms of work each. Every {PERIOD_SECONDS:g} s, for "
            f"{BURST_SECONDS:g} s, the first has neighbours that compute. The client has the "
            "profile balanced, which allows 5 % more requests, and is the same one all the time."
        )
        warn_if_busy()
        asyncio.run(_play(stack, places, config))


async def _play(stack: contextlib.ExitStack, places: list[Path], config: Path) -> None:
    replicas: list[str] = []
    client = resonance.AsyncClient("balanced")
    transport = AsyncTransport(client=client, replicas={SERVICE: lambda: replicas})
    async with client, httpx.AsyncClient(transport=transport) as http:
        users = Users(http, client)
        with contextlib.ExitStack() as first:
            replicas[:] = _replicas(first, places)
            _disturb(first, places[:1])
            await users.ask(LEARN_SECONDS)
            say("1. Without a daemon: a copy goes where few requests of our own are.")
            await users.show(SHOWN_SECONDS, [Reason.HEDGE_WON])
        say("2. With a daemon: the kernel says who waits for a CPU, and who has room.")
        stack.enter_context(serving(config))
        # Where cgroups are v1, who opened a port is known only to who looked on.
        replicas[:] = _replicas(stack, places)
        _disturb(stack, places[:1])
        await users.until_pressure_is_known()
        await users.ask(LEARN_SECONDS)
        await users.show(SHOWN_SECONDS, [Reason.HEDGED_EARLY])
        say("3. Neighbours at all three at once: no copy would help, and few are sent.")
        _disturb(stack, places[1:])
        await users.show(SHOWN_SECONDS, [Reason.SATURATED_BY_PRESSURE])
        say("4. The operator switches it off, for every client on this host.")
        show("resonanced", "policies", "observe", "--config", str(config))
        await users.ask(OBEYED_SECONDS)
        await users.show(OFF_SECONDS, [Reason.KILLED])


def _replicas(stack: contextlib.ExitStack, places: list[Path]) -> list[str]:
    """Start a server in each cgroup; return where they are."""
    urls: list[str] = []
    for place in places:
        server = stack.enter_context(started(place, "replica.py", "serve", f"{ORPHAN_SECONDS}"))
        assert server.stdout
        urls.append(f"http://127.0.0.1:{server.stdout.readline().strip()}")
    return urls


def _disturb(stack: contextlib.ExitStack, places: list[Path]) -> None:
    """Start neighbours in some of the cgroups."""
    for place in places:
        stack.enter_context(started(place, "replica.py", "disturb", f"{ORPHAN_SECONDS}"))


def _tell(outcomes: list[Outcome[None]], before: ServiceReport, after: ServiceReport) -> None:
    calls, hedges = after.calls - before.calls, after.hedges - before.hedges
    won = after.hedges_won - before.hedges_won
    took = sorted(each.elapsed_seconds for each in outcomes)
    middle, slow = took[len(took) // 2], took[math.ceil(0.99 * len(took)) - 1]
    print(
        f"{calls} requests, {hedges} copies ({hedges / calls:.1%}), {won} of them answered first; "
        f"p50 {middle * 1e3:.1f} ms, p99 {slow * 1e3:.1f} ms"
    )
    reasons = Counter(reason for each in outcomes for reason in each.reasons)
    for reason, times in reasons.most_common():
        if reason not in USUAL:
            print(f"{times:6} {reason:24} {SENTENCES[reason]}")


if __name__ == "__main__":
    main()
