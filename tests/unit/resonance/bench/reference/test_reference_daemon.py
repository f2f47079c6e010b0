# SPDX-License-Identifier: MIT
"""The daemon's commands as the experiment gives them: to a script that says what it is told to."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from resonance.bench.errors import ExperimentError
from resonance.bench.reference.daemon import applied, command, running, service

WEIGHT = "[latency_critical]\ncpu_weight = 1000\n"


def setting(knob: str, **more: str) -> dict[str, Any]:
    target = {"kind": "cgroup", "name": "/web"}
    return {"setting": {"knob": knob, "target": target}, "reason": "", "found": "", **more}


def plan(*receipts: dict[str, Any], **more: Any) -> dict[str, Any]:
    groups: dict[str, Any] = {"latency_critical": ["/web"], "batch": []}
    return {**groups, "excluded": [], "notes": [], "receipts": list(receipts), **more}


class Resonanced:
    """A command that notes how it was called."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.command = str(directory / "resonanced")
        script = (
            f"#!{sys.executable}\n"
            "import json, pathlib, sys\n"
            f"here = pathlib.Path({str(directory)!r})\n"
            "verb, words = sys.argv[1], sys.argv[2:]\n"
            "configuration = pathlib.Path(words[words.index('--config') + 1])\n"
            "profile = configuration.with_name('profiles') / 'bench.toml'\n"
            "called = [verb, str(configuration), configuration.read_text(), profile.read_text()]\n"
            "with (here / 'calls').open('a') as file:\n"
            "    file.write(json.dumps(called) + '\\n')\n"
            "said = json.loads((here / verb).read_text())\n"
            "print(json.dumps(said)) if isinstance(said, dict) else sys.exit(said)\n"
        )
        Path(self.command).write_text(script)
        Path(self.command).chmod(0o755)
        self.says("apply", plan(setting("cpu_weight", outcome="applied")))
        back = setting("cpu_weight", outcome="restored")
        self.says("rollback", {"receipts": [back], "failures": [], "damage": ""})

    def says(self, verb: str, what: dict[str, Any] | str) -> None:
        (self._directory / verb).write_text(json.dumps(what))

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self._directory / "calls").read_text().splitlines()]


@pytest.fixture
def resonanced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resonanced:
    fake = Resonanced(tmp_path)
    monkeypatch.setattr(running, "command", lambda: fake.command)
    monkeypatch.setattr(running, "_PLACE", str(tmp_path))
    return fake


def test_a_profile_is_in_force_for_as_long_as_it_is_entered(resonanced: Resonanced) -> None:
    with applied(WEIGHT, latency_critical=["/web"]):
        assert [verb for verb, *_ in resonanced.calls] == ["apply"]
    assert [verb for verb, *_ in resonanced.calls] == ["apply", "rollback"]
    (_, first, text, profile), (_, second, *_) = resonanced.calls
    assert first == second
    assert profile == WEIGHT
    assert not Path(first).exists()
    tuning = tomllib.loads(text)["tuning"]
    assert tuning["latency_critical"]["cgroups"] == ["/web"]
    assert tuning["journal_directory"] == str(Path(first).with_name("journal"))
    assert set(tuning["refuse"]) == {"irq_affinity", "rps_affinity", "workqueue_affinity"}
    assert tuning["allow"] == []


def test_real_time_is_allowed_where_the_profile_itself_asks_for_it(resonanced: Resonanced) -> None:
    resonanced.says("apply", plan(setting("realtime", outcome="applied")))
    with applied("[latency_critical]\nrealtime = 1\n", latency_critical=["process:replica"]):
        pass
    tuning = tomllib.loads(resonanced.calls[0][2])["tuning"]
    assert tuning["allow"] == ["realtime"]
    assert tuning["latency_critical"] == {"cgroups": [], "processes": ["replica"]}


def test_what_the_block_raises_passes_after_the_rollback(resonanced: Resonanced) -> None:
    with pytest.raises(KeyError), applied(WEIGHT, latency_critical=["/web"]):
        raise KeyError
    assert resonanced.calls[-1][0] == "rollback"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (plan(excluded=[setting("cpu_weight", reason="not ours")]), "left out: not ours"),
        (plan(setting("cpu_weight", outcome="refused", reason="EINVAL")), "refused: EINVAL"),
        (plan(notes=["nobody is named"]), "not turned anywhere; nobody is named"),
        (
            plan(setting("cpu_weight", outcome="applied"), latency_critical=[]),
            "/web was not found, or may not be tuned",
        ),
        ("resonanced: not root", "resonanced: not root"),
    ],
)
def test_what_was_not_done_is_an_error_with_the_daemons_reason(
    resonanced: Resonanced, said: dict[str, Any] | str, told: str
) -> None:
    resonanced.says("apply", said)
    with pytest.raises(ExperimentError, match=told), applied(WEIGHT, latency_critical=["/web"]):
        pytest.fail("it was not in force")
    assert resonanced.calls[-1][0] == "rollback"


def test_knobs_of_the_whole_host_are_left_out_and_that_is_no_error(resonanced: Resonanced) -> None:
    left_out = setting("irq_affinity", reason="refused by tuning.refuse")
    resonanced.says("apply", plan(setting("cpu_weight", outcome="applied"), excluded=[left_out]))
    text = f'{WEIGHT}[host]\nirq_affinity = "0"\n'
    with applied(text, latency_critical=["/web"]):
        assert len(resonanced.calls) == 1


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"receipts": [setting("cpu_weight", outcome="conflict-left", found="7")]}, "left: 7"),
        ({"failures": ["resonanced runs"]}, "resonanced runs"),
        ({"damage": "line 3 is torn"}, "line 3 is torn"),
    ],
)
def test_what_was_not_put_back_is_an_error(
    resonanced: Resonanced, said: dict[str, Any], told: str
) -> None:
    resonanced.says("rollback", {"receipts": [], "failures": [], "damage": "", **said})
    with pytest.raises(ExperimentError, match=told), applied(WEIGHT, latency_critical=["/web"]):
        pass


def test_where_the_daemon_is_not_installed_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExperimentError, match="pip install"):
        command()
    beside = tmp_path / "resonanced"
    beside.write_text("#!/bin/sh\n")
    beside.chmod(0o755)
    assert command() == str(beside)


def test_a_service_that_does_not_start_tells_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "resonanced"
    failing.write_text("#!/bin/sh\necho 'resonanced: no BPF here' >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setattr(running, "command", lambda: str(failing))
    monkeypatch.setattr(running, "_PLACE", str(tmp_path))
    with pytest.raises(ExperimentError, match="no BPF here"), service():
        pytest.fail("it does not serve")
    assert [each.name for each in tmp_path.iterdir()] == ["resonanced"]
