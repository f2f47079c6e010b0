# SPDX-License-Identifier: MIT
"""Does the unit do what an operator expects of systemctl?"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nspawn.container import Container, wait_until
from nspawn.service import CONFIG, PYTHON, RUNTIME, Service

NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
MEMBER = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--groups=resonance")
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect('{path}')"


def test_when_start_returns_it_serves_and_says_how_it_measures(service: Service) -> None:
    service.start()
    assert (service.state, service.show("SubState")) == ("active", "running")
    assert service.processes().keys() == {"keeper", "daemon"}
    log = service.log()
    assert "observe mode, nothing on this host is changed" in log
    assert "backend  none, tier procfs" in log
    assert "not core: /sys/fs/bpf: no BPF file system is mounted" in log
    assert 'tier="procfs"' in service.metric("resonance_backend")


def test_stop_is_clean_ends_with_a_rollback_and_leaves_nothing(service: Service) -> None:
    service.start()
    service.stop()
    assert (service.state, service.show("Result")) == ("inactive", "success")
    assert service.processes() == {}
    assert not service.container.path(RUNTIME).exists()
    assert service.log().count("nothing to put back, nothing to remove") == 1


def test_restart_is_another_run_of_the_same(service: Service) -> None:
    service.start()
    before = service.main_pid
    assert service.systemctl("restart").returncode == 0
    assert service.state == "active"
    assert service.main_pid != before
    assert "SIGKILL" not in service.log()


def test_reload_takes_what_it_can_and_names_what_needs_a_restart(service: Service) -> None:
    service.start()
    before = service.processes()
    service.configure('[signals]\ncgroups = ["/system.slice"]\ninterval_seconds = 0.2\n')
    assert service.systemctl("reload").returncode == 0
    service.await_log("reloaded needs_restart=signals.interval_seconds")
    wait_until(
        lambda: 'cgroup="/system.slice"' in service.metric("resonance_slot_info"),
        "the named cgroup has a slot",
    )
    assert service.processes() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[signals]\ninterval_seconds = 99\n", "signals.interval_seconds: Expected `float` <= 10"),
        ("[signals\n", "not TOML"),
    ],
    ids=["a value", "no TOML"],
)
def test_reload_of_a_wrong_file_fails_says_why_and_changes_nothing(
    service: Service, text: str, said: str
) -> None:
    service.configure('[signals]\ncgroups = ["/system.slice"]\n')
    service.start()
    before = service.processes()
    service.configure(text)
    reload = service.systemctl("reload")
    assert reload.returncode == 1
    assert "resonanced.service failed" in reload.stderr
    service.await_log("reload_refused")
    line = f"resonanced: {CONFIG}: {said}"
    assert line in service.log()
    assert line in service.systemctl("status", "--full").stdout
    assert (service.state, service.processes()) == ("active", before)
    assert 'cgroup="/system.slice"' in service.metric("resonance_slot_info")
    assert 'resonance_reloads_total{outcome="refused"} 1.0' in service.metric("resonance_reloads")
    service.configure('[signals]\ncgroups = ["/init.scope"]\n')
    assert service.systemctl("reload").returncode == 0, "a right one is taken as ever"
    service.await_log("reloaded needs_restart=none")


def test_reload_fails_for_a_profile_that_does_not_exist(service: Service) -> None:
    service.start()
    service.configure('[tuning]\nprofile = "no-such"\n')
    assert service.systemctl("reload").returncode == 1
    assert "no-such.toml: no such profile; there are: " in service.log()
    assert service.state == "active"


def test_a_drop_in_changes_the_command_and_nothing_else(service: Service) -> None:
    command = "ExecStart=\nExecStart=/usr/bin/resonanced run --port 9800\n"
    service.drop_in("port", f"[Service]\n{command}")
    service.start()
    assert service.metric("resonance_build_info", port=9800)
    assert service.show("ExecStopPost").count("--left-by-services") == 1
    assert service.show("NeedDaemonReload") == "no"


def test_who_may_open_what(service: Service) -> None:
    service.start()
    place = service.container.path(RUNTIME)
    owner = place.stat()
    user = service.container.succeed("id", "--user", "resonance").strip()
    group = service.container.succeed("id", "--group", "resonance").strip()
    assert (owner.st_uid, owner.st_gid) == (int(user), int(group))
    assert {entry.name: _mode(entry) for entry in (place, *place.iterdir())} == {
        "resonance": 0o755,
        "hints.sock": 0o660,
        "hints.page": 0o640,
        "admin.sock": 0o600,
        "resonanced.lock": 0o600,
    }
    hints, admin = (CONNECT.format(path=f"{RUNTIME}/{name}.sock") for name in ("hints", "admin"))
    service.python(hints, *MEMBER)
    for who, code in ((NOBODY, hints), (NOBODY, admin), (MEMBER, admin)):
        refused = service.container.run(*who, PYTHON, "-c", code)
        assert "PermissionError" in refused.stderr


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_daemon_holds_no_capability_and_the_keeper_three_at_most(service: Service) -> None:
    service.start()
    status = {role: _status(pid) for role, pid in service.processes().items()}
    assert int(status["daemon"]["CapEff"], 16) == int(status["daemon"]["CapPrm"], 16) == 0
    assert int(status["keeper"]["CapEff"], 16).bit_count() <= 3
    assert {each["NoNewPrivs"] for each in status.values()} == {"1"}


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_what_is_not_the_services_is_read_only_or_hidden_from_it(service: Service) -> None:
    service.start()
    seen = Path("/proc", str(service.processes()["keeper"]), "root")
    mounts = Path("/proc", str(service.processes()["keeper"]), "mounts").read_text()
    options = {line.split()[1]: line.split()[3].split(",") for line in mounts.splitlines()}
    assert "ro" in options["/"]
    assert "rw" in options[RUNTIME]
    assert "rw" in options["/run/resonance-tuning"]
    assert os.listdir(seen / "root") == []


def test_a_second_instance_by_hand_is_refused_with_the_pid_of_the_first(service: Service) -> None:
    service.start()
    by_hand = service.container.run("resonanced", "run", "--no-view", "--port", "9801")
    assert by_hand.returncode == 1
    said = f"resonanced: {RUNTIME}: in use by resonanced, pid {service.main_pid}; stop it first"
    assert by_hand.stderr.startswith(said)
    assert service.metric("resonance_build_info"), "the first one goes on"


def test_a_masked_unit_does_not_start_and_can_still_be_rolled_back(service: Service) -> None:
    assert service.systemctl("mask").returncode == 0
    refused = service.systemctl("start")
    assert refused.returncode != 0
    assert "masked" in refused.stderr
    back = service.container.succeed("resonanced", "rollback")
    assert back == "nothing to put back, nothing to remove\n"
    service.systemctl("unmask")
    service.start()


def test_sysusers_and_tmpfiles_make_what_the_service_needs(container: Container) -> None:
    place = container.path("/run/resonance-tuning")
    place.rmdir()
    container.succeed("userdel", "resonance")
    assert container.run("id", "resonance").returncode == 1
    container.succeed("systemd-sysusers", "resonance.conf")
    container.succeed("systemd-tmpfiles", "--create", "resonance.conf")
    name, _, uid, _, _, home, shell = container.succeed("getent", "passwd", "resonance").split(":")
    assert (name, home, shell.strip()) == ("resonance", "/", "/usr/sbin/nologin")
    assert 0 < int(uid) < 1000
    assert container.succeed("getent", "group", "resonance").startswith("resonance:x:")
    found = place.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 0, 0o700)
