# SPDX-License-Identifier: MIT
"""Does the daemon in a pod measure apart what was asked for, and nothing else?"""

from __future__ import annotations

import fnmatch
import json
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from resonanced import config

UID = "0f8b6c1e-5a0c-4b7e-9d55-1f2e3d4c5b6a"
SLICE = UID.replace("-", "_")
OTHER = "11111111-5a0c-4b7e-9d55-1f2e3d4c5b6a"
CHILD = """
import pathlib, signal, sys, tomllib
heard = pathlib.Path(sys.argv[2])
def note(*_):
    cgroups = tomllib.loads(pathlib.Path(sys.argv[1]).read_text())["signals"]["cgroups"]
    draft = heard.with_suffix(".draft")
    draft.write_text(repr(cgroups))
    draft.replace(heard)
signal.signal(signal.SIGHUP, note)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
note()
while True:
    signal.pause()
"""


@pytest.mark.parametrize(
    "path",
    [
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICE}.slice/cri-containerd-1.scope",
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{SLICE}.slice/crio-1.scope",
        f"/kubepods.slice/kubepods-pod{SLICE}.slice/cri-containerd-1.scope",
        f"/a.slice/a-kubepods.slice/a-kubepods-pod{SLICE}.slice/crio-1.scope/container",
        f"/kubepods/burstable/pod{UID}/4711",
        f"/kubepods/besteffort/pod{UID}/4711",
        f"/kubepods/pod{UID}/4711",
    ],
)
def test_the_containers_of_a_pod_are_found_with_either_cgroup_driver(
    path: str, with_pods: ModuleType
) -> None:
    assert sum(fnmatch.fnmatchcase(path, one) for one in with_pods.patterns([UID])) == 1


@pytest.mark.parametrize(
    "path",
    [
        f"/kubepods.slice/kubepods-pod{SLICE}.slice",
        f"/kubepods/pod{UID}",
        f"/kubepods.slice/kubepods-pod{OTHER.replace('-', '_')}.slice/cri-containerd-1.scope",
        f"/kubepods/burstable/pod{OTHER}/4711",
        "/system.slice/containerd.service",
    ],
)
def test_neither_the_empty_group_of_the_pod_nor_another_pod_is_meant(
    path: str, with_pods: ModuleType
) -> None:
    assert not any(fnmatch.fnmatchcase(path, one) for one in with_pods.patterns([UID]))


def test_the_operators_own_cgroups_and_keys_stay(with_pods: ModuleType) -> None:
    text = with_pods.merged(
        '[signals]\ncgroups = ["/web"]\ninterval_seconds = 0.2\n[telemetry]\nport = 1\n',
        json.dumps([UID]),
    )
    table = tomllib.loads(text)
    assert table["signals"]["cgroups"] == ["/web", f"*-pod{SLICE}.slice/*", f"*/pod{UID}/*"]
    assert table["signals"]["interval_seconds"] == 0.2
    assert table["telemetry"] == {"port": 1}


def test_what_is_merged_is_read_by_the_daemon(
    with_pods: ModuleType, systemd: Path, tmp_path: Path
) -> None:
    operators = systemd / "kubernetes/observe/resonanced.toml"
    file = tmp_path / "resonanced.toml"
    file.write_text(with_pods.merged(operators.read_text(), json.dumps([UID])))
    settings = config.load(file)
    assert settings.signals.cgroups == tuple(with_pods.patterns([UID]))
    assert config.keys_that_need_a_restart(config.load(operators), settings) == []


@pytest.mark.parametrize(
    "pods", ['["*"]', '["a/../b"]', '["A"]', '[""]', '["-a"]', "[7]", "{}", '"a"', "[", '["a\\nb"]']
)
def test_what_is_no_list_of_uids_is_refused(pods: str, with_pods: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"."):
        with_pods.merged("", pods)


def test_more_pods_than_slots_cannot_make_a_reload_too_long(with_pods: ModuleType) -> None:
    table = tomllib.loads(with_pods.merged("", json.dumps([f"{n:036d}" for n in range(1000)])))
    assert len(json.dumps(table)) < 1 << 15, "the keeper hands it on in one message of 64 KiB"


class Run:
    """The program at work with a child that notes what it is asked to read."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.base, self.pods = directory / "base.toml", directory / "pods.json"
        self.config, self.heard = directory / "config.toml", directory / "heard"
        self.base.write_text('[signals]\ncgroups = ["/web"]\n')
        flags = [f"--{name}={getattr(self, name)}" for name in ("base", "pods", "config")]
        child = [sys.executable, "-c", CHILD, str(self.config), str(self.heard)]
        self.process = subprocess.Popen(
            [sys.executable, str(program), *flags, "--", *child],
            stderr=subprocess.PIPE,
            text=True,
        )

    def says(self, expected: list[str]) -> None:
        wait_for(lambda: self.heard.exists() and self.heard.read_text() == repr(expected))

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def run(systemd: Path, tmp_path: Path) -> Iterator[Run]:
    running = Run(systemd / "kubernetes/with_pods.py", tmp_path)
    yield running
    if running.process.poll() is None:
        running.end()


def test_the_daemon_starts_before_anybody_has_asked_and_reloads_when_one_does(
    run: Run, with_pods: ModuleType
) -> None:
    run.says(["/web"])
    run.pods.write_text(json.dumps([UID]))
    run.says(["/web", *with_pods.patterns([UID])])
    run.pods.write_text("[]")
    run.says(["/web"])
    assert run.end() == (7, "")


def test_a_change_of_the_operators_file_is_reloaded_too(run: Run) -> None:
    run.says(["/web"])
    run.base.write_text('[signals]\ncgroups = ["/db"]\n')
    run.says(["/db"])


def test_what_cannot_be_read_changes_nothing_and_is_said_once(run: Run) -> None:
    run.says(["/web"])
    run.pods.write_text('["*"]')
    time.sleep(4.5)  # more than two looks
    assert tomllib.loads(run.config.read_text())["signals"]["cgroups"] == ["/web"]
    status, said = run.end()
    assert status == 7
    assert said.count("kept as it was") == 1


def test_the_status_of_the_daemon_is_its_own_status(run: Run) -> None:
    run.says(["/web"])
    assert run.end()[0] == 7


def test_without_the_operators_file_nothing_is_started(
    with_pods: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [f"--{name}={tmp_path / name}" for name in ("base", "pods", "config")]
    assert with_pods.main([*flags, "--", "touch", str(tmp_path / "started")]) == 2
    assert "not started" in capsys.readouterr().err
    assert not (tmp_path / "started").exists()
