# SPDX-License-Identifier: MIT
"""The unit and its files: systemd reads them without a complaint, and it asks for little."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser, SectionProxy
from pathlib import Path

import pytest

from resonance_tuning.knob import Knob
from resonance_tuning.knobs import KNOBS
from resonance_tuning.settings import TuningSettings
from resonanced import actuator, link
from resonanced.check import DEGRADED
from resonanced.config import ServiceSettings
from resonanced.errors import ConfigError
from resonanced.privileges import UNIT_CAPABILITIES

FOLDER = Path(__file__).parents[2] / "systemd"
UNIT = FOLDER / "resonanced.service"
SYSUSERS = FOLDER / "resonance.sysusers.conf"
TMPFILES = FOLDER / "resonance.tmpfiles.conf"
EXPOSURE_CEILING = 39
"""In tenths, of 100; the services of comparable tools score 96.

31 is what it takes to see a node. To tune it costs eight more: two each for cgroups and kernel
settings that can be written, three for a device node, and the rest for two capabilities.
"""
OPT_IN = {"CAP_SYS_ADMIN"}
"""What the unit leaves to a drop-in of the operator's: knobs of other network namespaces."""


@pytest.fixture
def analyze(tmp_path: Path) -> list[str]:
    assert shutil.which("systemd-analyze"), "not installed: apt-get install systemd"
    # The unit as installed, but for its commands, which need not be on this machine.
    text = UNIT.read_text(encoding="utf-8")
    text = re.sub(r"/usr/bin/resonanced\b", "/bin/true", text)
    (tmp_path / UNIT.name).write_text(text, encoding="utf-8")
    return ["systemd-analyze", str(tmp_path / UNIT.name)]


def test_systemd_finds_no_fault_in_the_unit(analyze: list[str]) -> None:
    assert _complaints(analyze) == ""


def _complaints(analyze: list[str]) -> str:
    """Return what systemd says of the unit; of an unknown key it only says it."""
    command, unit = analyze
    flags = ("--man=no", "--recursive-errors=yes")
    done = subprocess.run(
        [command, "verify", *flags, unit], check=False, capture_output=True, text=True
    )
    return done.stderr if done.returncode or UNIT.name in done.stderr else ""


@pytest.mark.parametrize("fault", ["WatchdogSecs=10", "Restart=WatchdogSecs"])
def test_a_fault_in_the_unit_would_be_found(analyze: list[str], fault: str) -> None:
    unit = Path(analyze[-1])
    unit.write_text(unit.read_text().replace("[Install]", f"{fault}\n[Install]"))
    assert "WatchdogSecs" in _complaints(analyze)


def test_exposure_stays_below_the_ceiling(analyze: list[str]) -> None:
    command, unit = analyze
    done = subprocess.run(
        [command, "security", "--offline=true", f"--threshold={EXPOSURE_CEILING}", unit],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_service_promises_is_in_the_unit() -> None:
    service = _service()
    assert service["Type"] == "notify"
    assert service["ExecStart"].endswith("/resonanced run")
    assert service["ExecStopPost"].endswith("/resonanced rollback --left-by-services")
    assert float(service["WatchdogSec"]) > 0
    assert service["RuntimeDirectory"] == "resonance"
    assert service["OOMPolicy"] == "stop"


def test_its_commands_are_ours_or_the_shells() -> None:
    """Whatever else is called is another package that has to be there."""
    commands = [value for key, value in _service().items() if key.startswith("Exec")]
    assert {command.split()[0] for command in commands} == {"/usr/bin/resonanced", "/bin/sh"}


@pytest.mark.parametrize(
    ("status", "ends_with"), [(0, 0), (1, 0), (DEGRADED, 0), (ConfigError.exit_code, 1)]
)
def test_a_reload_fails_for_what_check_says_of_a_wrong_file_alone(
    status: int, ends_with: int
) -> None:
    """A host that lacks something reloads too; and the service is told in any case."""
    shell, option, script = shlex.split(_service()["ExecReload"])
    assert (shell, option) == ("/bin/sh", "-c")
    script = script.replace("$$", "$").replace("kill -HUP", "echo")
    script = script.replace("/usr/bin/resonanced check", f"(exit {status})")
    done = subprocess.run(
        [shell, option, script], check=False, capture_output=True, text=True, env={"MAINPID": "77"}
    )
    assert (done.returncode, done.stdout, done.stderr) == (ends_with, "77\n", "")


def test_a_wrong_configuration_is_not_tried_again() -> None:
    assert _service()["RestartPreventExitStatus"].split() == [str(ConfigError.exit_code)]


def test_nothing_is_asked_for_that_systemd_252_does_not_know() -> None:
    """Of Debian 12; `verify` there would complain, but need not be the one that runs here."""
    newer = {"RestartSteps", "RestartMaxDelaySec", "RestartMode", "MemoryZSwapMax", "ReloadSignal"}
    newer |= {"ImportCredential", "PrivatePIDs", "ProtectHostname=private", "FileDescriptorName"}
    service = _service()
    assert newer.isdisjoint(service)
    assert service["Type"] != "notify-reload"
    assert service["ProtectHostname"] == "yes"


def test_a_rollback_is_not_cut_short_by_the_time_a_stop_may_take() -> None:
    assert float(_service()["TimeoutStopSec"]) > actuator._ROLLBACK_SECONDS


def test_the_watchdog_bites_later_than_the_daemon_speaks_up() -> None:
    assert float(_service()["WatchdogSec"]) > link._TIMEOUT_SECONDS


def test_it_stops_no_other_tuner() -> None:
    assert not re.search(r"^Conflicts=", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


def _service() -> SectionProxy:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser["Service"]


def test_the_unit_lets_the_journal_be_written_and_keeps_others_out_of_it() -> None:
    service, journal = _service(), TuningSettings().journal_directory
    assert f"-{journal}" in service["ReadWritePaths"].split()
    (line,) = _lines(TMPFILES)
    assert line.split() == ["d", journal, "0700", "root", "root", "-"]
    assert journal not in {f"/run/{name}" for name in service["RuntimeDirectory"].split()}


def _lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_a_kernel_without_bpf_does_not_keep_the_unit_from_starting() -> None:
    """A path that is not there fails the service with 226/NAMESPACE unless it may be missing."""
    assert all(path.startswith("-") for path in _service()["ReadWritePaths"].split())


def test_the_user_and_group_are_those_of_the_configuration(tmp_path: Path) -> None:
    (line,) = _lines(SYSUSERS)
    kind, name, *_ = line.split()
    assert (kind, name) == ("u", ServiceSettings().user) == ("u", ServiceSettings().group)
    (tmp_path / "etc").mkdir()
    made = subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", str(SYSUSERS)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    assert f"{name}:" in (tmp_path / "etc/passwd").read_text()
    assert f"{name}:" in (tmp_path / "etc/group").read_text()


def test_systemd_makes_the_journals_directory(tmp_path: Path) -> None:
    """As whoever runs this: only root can give it to root."""
    text = TMPFILES.read_text(encoding="utf-8").replace("root root", f"{os.getuid()} {os.getgid()}")
    conf = tmp_path / TMPFILES.name
    conf.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-tmpfiles", "--create", f"--root={tmp_path}", str(conf)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    made = tmp_path / TuningSettings().journal_directory[1:]
    assert made.stat().st_mode & 0o777 == 0o700


def test_the_unit_lets_be_written_what_the_knobs_write() -> None:
    service = _service()
    assert (service["ProtectControlGroups"], service["ProtectKernelTunables"]) == ("no", "no")
    assert (service["PrivateDevices"], service["DevicePolicy"]) == ("no", "closed")
    assert service["DeviceAllow"] == "/dev/cpu_dma_latency rw"


def test_the_capabilities_of_the_unit_are_those_that_check_compares_with() -> None:
    assert _service()["CapabilityBoundingSet"].split() == list(UNIT_CAPABILITIES)


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.name)
def test_the_unit_leaves_each_knob_the_capabilities_it_names(knob: type[Knob]) -> None:
    assert knob.capabilities <= set(_service()["CapabilityBoundingSet"].split()) | OPT_IN
