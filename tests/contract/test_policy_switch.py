# SPDX-License-Identifier: MIT
"""The operator's switch, from the command to the clients that obey it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import resonance
from fakes.hint_service import HintService
from resonance.hints import connect
from resonanced import cli
from resonanced.hints.policies import PolicySwitch
from resonanced.hints.settings import HintsSettings
from resonanced.phase.admin import AdminServer

PATIENCE_SECONDS = 20.0


@pytest.fixture
def service(tmp_path: Path) -> Iterator[HintService]:
    with HintService(tmp_path, HintsSettings(valid_for_seconds=60.0)) as service:
        switch = PolicySwitch("active", service.page.say_policy_ceiling)
        admin = AdminServer(tmp_path, [switch])
        service.run(admin.start())
        service.publish()
        service.write()
        yield service
        service.run(admin.stop())


def set_policies(directory: Path, mode: str) -> None:
    config = directory / "resonanced.toml"
    config.touch()
    place = ["--config", str(config), "--runtime-directory", str(directory)]
    assert cli.main(["policies", mode, *place]) == 0


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_is_in_the_page_when_the_command_returns(service: HintService, tmp_path: Path) -> None:
    with connect(service.socket) as hints:
        for mode in ("observe", "advise", "active"):
            set_policies(tmp_path, mode)
            assert hints.policy_ceiling() == mode


def test_a_client_for_threads_obeys_and_comes_back(service: HintService, tmp_path: Path) -> None:
    with connect(service.socket) as hints, resonance.Client(hints=hints) as client:

        def mode() -> str:
            client.hedge(lambda: None, service="shop")
            (report,) = client.report()
            return report.mode

        assert mode() == "active"
        set_policies(tmp_path, "observe")
        eventually(lambda: mode() == "observe")
        set_policies(tmp_path, "active")
        eventually(lambda: mode() == "active")


def test_the_lower_of_both_is_in_force(service: HintService, tmp_path: Path) -> None:
    set_policies(tmp_path, "advise")
    with (
        connect(service.socket) as hints,
        resonance.Client(hints=hints, mode="observe") as careful,
        resonance.Client(hints=hints) as bold,
    ):
        for client, expected in ((careful, "observe"), (bold, "advise")):
            client.hedge(lambda: None, service="shop")
            (report,) = client.report()
            assert report.mode == expected


async def test_a_client_for_asyncio_obeys(service: HintService, tmp_path: Path) -> None:
    async def nothing() -> None: ...

    set_policies(tmp_path, "observe")
    with connect(service.socket) as hints:
        async with resonance.AsyncClient(hints=hints) as client:
            await client.hedge(nothing, service="shop")
            (report,) = client.report()
            assert report.mode == "observe"


def test_what_was_switched_off_stays_off_when_the_daemon_goes(tmp_path: Path) -> None:
    with connect(tmp_path / "hints.sock") as hints, resonance.Client(hints=hints) as client:
        with HintService(tmp_path) as service:
            service.page.say_policy_ceiling("observe")
            client.hedge(lambda: None, service="shop")
        for _ in range(3):
            client.hedge(lambda: None, service="shop")
        (report,) = client.report()
        assert report.mode == "observe"
