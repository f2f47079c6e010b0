# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from resonance_bpf import pins
from resonance_bpf.errors import PinError
from resonanced import check, cli
from resonanced.errors import StartError

VERBS = (
    "run",
    "check",
    "plan",
    "apply",
    "verify",
    "explain",
    "journal",
    "phase",
    "policies",
    "rollback",
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "resonanced.toml"
    path.write_text(
        f'[service]\nruntime_directory = "{tmp_path}/run"\n'
        f'[probes]\nbpffs_directory = "{tmp_path}/bpf"\n'
        f'[tuning]\njournal_directory = "{tmp_path}/journal"\n',
        encoding="utf-8",
    )
    (tmp_path / "bpf").mkdir()
    return path


def test_without_a_verb_it_shows_how_to_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 2
    assert "usage: resonanced" in capsys.readouterr().err


def test_help_ends_with_examples_of_every_verb_below_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    examples = text.partition("examples:")[2]
    assert all(f"resonanced {verb}" in examples for verb in VERBS)
    assert max(map(len, text.splitlines())) < 80


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_each_verb_has_an_example(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main([verb, "--help"])
    text = capsys.readouterr().out
    assert f"examples:\n  resonanced {verb} " in text
    assert max(map(len, text.splitlines())) < 80


def test_it_says_its_release(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.count(".") == 2


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_a_run_time_that_is_none_is_refused(seconds: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--for", seconds])
    assert ended.value.code == 2


def test_a_wrong_file_is_one_line_on_stderr_and_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "missing.toml"
    assert cli.main(["check", "--config", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"resonanced: {path}: no such file\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("error", "status"),
    [(StartError("x", "taken", "do y"), 1), (PinError("x", "taken", "do y"), 1)],
)
def test_an_error_is_one_line_with_what_to_do_next(
    error: Exception,
    status: int,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(pins, "rollback", fail)
    assert cli.main(["rollback", "--config", str(config)]) == status
    assert capsys.readouterr().err == "resonanced: x: taken; do y\n"


def test_flags_reach_the_settings(monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
    seen: list[Any] = []

    def note(settings: object, _: str) -> tuple[str, int]:
        seen.append(settings)
        return "", 0

    monkeypatch.setattr(check, "report", note)
    flags = ["--backend", "bcc", "--cgroup", "/a", "--cgroup", "/b*", "--port", "1234"]
    runtime = ["--runtime-directory", "/run/elsewhere"]
    assert cli.main(["check", "--config", str(config), *flags, *runtime]) == 0
    (settings,) = seen
    assert settings.probes.backend == "bcc"
    assert settings.probes.bpffs_directory == f"{config.parent}/bpf"
    assert settings.signals.cgroups == ("/a", "/b*")
    assert settings.telemetry.port == 1234
    assert settings.service.runtime_directory == "/run/elsewhere"


def test_a_relative_runtime_directory_is_below_where_one_stands(
    monkeypatch: pytest.MonkeyPatch, config: Path, tmp_path: Path
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(check, "report", lambda settings, _: (seen.append(settings) or "", 0))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check", "--config", str(config), "--runtime-directory", "here"]) == 0
    assert seen[0].service.runtime_directory == f"{tmp_path}/here"


def test_an_interrupt_is_one_quiet_end(
    monkeypatch: pytest.MonkeyPatch, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "report", interrupt)
    assert cli.main(["check", "--config", str(config)]) == 130
    assert capsys.readouterr() == ("", "")


EARLY = """\
import os, signal, sys
class Interrupting:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from {package} import main
sys.argv = ["command", "--version"]
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("module", "package"),
    [("resonanced.cli", "resonanced.__main__"), ("resonance.cli.top", "resonance.cli")],
)
def test_ctrl_c_while_modules_are_read_is_one_quiet_end(module: str, package: str) -> None:
    program = EARLY.format(module=module, package=package)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(
    ("module", "package"),
    [("resonanced.cli", "resonanced.__main__"), ("resonance.cli.top", "resonance.cli")],
)
def test_an_interrupt_that_is_ignored_stays_so(module: str, package: str) -> None:
    program = EARLY.format(module=module, package=package)
    ended = subprocess.run(
        ["sh", "-c", 'trap "" INT; exec "$0" -c "$1"', sys.executable, program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_check_returns_the_status_of_the_report(
    monkeypatch: pytest.MonkeyPatch, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "report", lambda settings, output: (f"as {output}\n", 3))
    assert cli.main(["check", "--config", str(config), "--output", "json"]) == 3
    assert capsys.readouterr().out == "as json\n"


def test_rollback_with_nothing_to_do_says_so(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["rollback", "--config", str(config)]) == 0
    assert capsys.readouterr().out == "nothing to put back, nothing to remove\n"


def test_rollback_of_a_running_service_exits_1_and_names_its_pid(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generation = pins.create(config.parent / "bpf")
    assert cli.main(["rollback", "--config", str(config)]) == 1
    assert f"resonanced runs, pid {os.getpid()}" in capsys.readouterr().out
    assert cli.main(["rollback", "--config", str(config), "--output", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["removed"], document["alive"]) == ([], [os.getpid()])
    assert generation.path.exists()


@pytest.mark.parametrize(
    ("redirection", "code"), [(">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0), ("| true", 0)]
)
def test_closed_standard_streams_are_no_traceback(
    redirection: str, code: int, config: Path
) -> None:
    program = Path(sys.executable).with_name("resonanced")
    command = f"{program} rollback --config {config} {redirection}"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (code, "")


def test_nothing_we_open_gets_the_number_of_a_closed_standard_stream() -> None:
    program = (
        "import os; from resonanced import cli; cli._fill_standard_streams();"
        "os._exit(os.open('/dev/null', os.O_RDONLY) < 3)"
    )
    command = f'{sys.executable} -c "{program}" <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0


def test_an_announcement_nobody_reads_does_not_end_the_service(
    config: Path, tmp_path: Path
) -> None:
    program = f"""
from pathlib import Path
from resonanced import cli
cli._announce(["observe mode"])
Path({str(tmp_path)!r}, "survived").touch()
"""
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (tmp_path / "survived").exists()
    assert ended.returncode == 0
    assert b"announcement_unread" in ended.stderr
