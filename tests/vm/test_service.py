# SPDX-License-Identifier: MIT
"""Does the installed service start, answer, reload, fail and end as its unit file promises?"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vm import machine
from vm.machine import UNIT, eventually, run, sample, scrape
from vm.tuned import Groups, two_groups

PARANOIA = Path("/proc/sys/kernel/perf_event_paranoid")
COUNTED = (
    "resonance_runqueue_latency_seconds_count",
    "resonance_runqueue_wait_seconds_total",
    "resonance_runqueue_switches_total",
    "resonance_cpu_runqueue_switches_total",
    "resonance_class_runqueue_switches_total",
    "resonance_process_cpu_seconds_total",
    "resonance_probe_runs_total",
    "resonance_tick_duration_seconds_count",
)
UNTOUCHED = {
    "cpu.weight": "100",
    "cpu.idle": "0",
    "cpuset.cpus": "",
    "cpuset.cpus.partition": "member",
}


@pytest.fixture
def paranoid() -> Iterator[None]:
    """Debian's setting, under which CAP_PERFMON does not open perf events."""
    before = machine.read(PARANOIA)
    PARANOIA.write_text("3", encoding="ascii")
    yield
    PARANOIA.write_text(before, encoding="ascii")


@pytest.fixture(scope="module")
def groups() -> Iterator[Groups]:
    with two_groups() as made:
        yield made


def test_it_starts_measures_answers_and_stops_without_a_trace(paranoid: None) -> None:
    place = machine.cursor()
    with machine.running('[signals]\ncgroups = ["/system.slice/ssh.service"]\n'):
        assert machine.show("Type") == "notify"
        assert (machine.show("ActiveState"), machine.show("SubState")) == ("active", "running")
        assert machine.health() == 200
        assert eventually(lambda: machine.health("/readyz") == 200)

        first = scrape()
        (backend,) = machine.labels_of(first, "resonance_backend_info")
        assert (backend["backend"], backend["tier"]) == ("core", "core")
        assert (backend["hierarchy"], backend["mode"]) == ("v2", "observe")
        assert machine.labels_of(first, "resonance_backend_rejected_info") == []
        assert sample(first, "resonance_probe_attached", program="runqueue_switch") == 1
        time.sleep(2)
        second = scrape()
        grown = {name: sample(second, name) - sample(first, name) for name in COUNTED}
        assert all(value > 0 for value in grown.values()), grown
        assert sample(second, "resonance_pressure_ratio", slot="0") >= 0

        state = machine.asked("resonance", "hints", "get")
        assert (state["tier"], state["hierarchy"], state["mode"]) == ("core", "v2", "observe")
        assert "/system.slice/ssh.service" in {each["cgroup"] for each in state["cgroups"]}
        assert 0 <= state["age_seconds"] < 60

        told = run("systemctl", "status", "--no-pager", "--full", UNIT).stdout
        assert "active (running)" in told
        assert "resonanced" in told.partition("Main PID:")[2].splitlines()[0]
        assert "Traceback" not in told
        assert len(list(machine.PINS.iterdir())) == 1
    assert machine.show("Result") == "success"
    assert machine.left_behind() == []

    lines = machine.journal_since(place)
    said = machine.messages_since(place)
    assert "Started" in said
    assert "observe mode, nothing on this host is changed" in said
    assert "Traceback" not in said
    # 4 is a warning, syslog(3): a start and a stop give nobody a reason to worry.
    assert [each["MESSAGE"] for each in lines if int(each["PRIORITY"]) <= 4] == []
    assert [line for line in said.splitlines() if re.match("level=(WARNING|ERROR)", line)] == []


def test_each_process_holds_what_the_design_gives_it(groups: Groups) -> None:
    with machine.running(groups.configuration("active")):
        roles = machine.processes()
        assert set(roles) == {"keeper", "daemon", "actuator"}
        for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert machine.capabilities_of(roles["daemon"], kind) == set()
        daemon = machine.status_of(roles["daemon"])
        assert "0" not in [*daemon["Uid"].split(), *daemon["Gid"].split()]
        assert daemon["NoNewPrivs"] == "1"
        assert machine.capabilities_of(roles["keeper"]) == {
            "CAP_BPF",
            "CAP_DAC_OVERRIDE",
            "CAP_KILL",
        }
        actuator = machine.capabilities_of(roles["actuator"])
        assert actuator <= {"CAP_DAC_OVERRIDE", "CAP_SYS_NICE", "CAP_NET_ADMIN", "CAP_BPF"}
        uids = {role: machine.status_of(pid)["Uid"].split()[0] for role, pid in roles.items()}
        assert (uids["keeper"], uids["actuator"]) == ("0", "0")
        assert uids["daemon"] == run("id", "-u", "resonance").stdout.strip()
        assert {machine.status_of(pid)["Seccomp"] for pid in roles.values()} == {"2"}


def test_a_reload_takes_a_good_file_and_refuses_a_bad_one_with_its_key() -> None:
    with machine.running('[service]\nlog_level = "info"\n'):
        keeper = machine.processes()["keeper"]
        assert sample(scrape(), "resonance_reloads_total") == 0

        machine.CONFIG.write_text('[service]\nlog_level = "debug"\n', encoding="utf-8")
        run("systemctl", "reload", UNIT)
        assert eventually(lambda: _reloads("applied") == 1)

        place = machine.cursor()
        machine.CONFIG.write_text("[service]\nlog_levle = 1\n", encoding="utf-8")
        run("systemctl", "reload", UNIT, ok=(0, 1))
        assert eventually(lambda: _reloads("refused") == 1)
        assert "log_levle" in machine.messages_since(place)

        assert machine.is_active()
        assert machine.processes()["keeper"] == keeper
        assert machine.health() == 200


def _reloads(outcome: str) -> float:
    return sample(scrape(), "resonance_reloads_total", outcome=outcome)


def test_a_restart_is_a_new_instance_with_one_generation_of_pins() -> None:
    with machine.running():
        before = machine.asked("resonance", "hints", "get")["instance"]
        (generation,) = machine.PINS.iterdir()
        run("systemctl", "restart", UNIT)
        assert machine.asked("resonance", "hints", "get")["instance"] != before
        (successor,) = machine.PINS.iterdir()
        assert successor.name != generation.name
        assert successor.name.partition("-")[0] == machine.show("MainPID")
        # Restarts that somebody asked for are none of systemd's.
        assert machine.show("NRestarts") == "0"


def test_a_wrong_configuration_fails_the_start_in_one_line_that_names_the_key() -> None:
    place = machine.cursor()
    with machine.configured("[signals]\ninterval_seconds = 99\n"):
        run("systemctl", "start", UNIT, ok=(1,))
        said = machine.messages_since(place)
        run("systemctl", "stop", UNIT)
        run("systemctl", "reset-failed", UNIT)
    lines = [line for line in said.splitlines() if line.startswith("resonanced: ")]
    assert lines
    assert all("signals.interval_seconds" in line for line in lines), said
    assert "Traceback" not in said
    assert machine.left_behind() == []


def test_a_service_that_cannot_start_is_given_up_after_a_few_tries() -> None:
    """The drop-in is what `systemctl edit` would write; it wins over the unit's own lines."""
    broken = "[Service]\nExecStart=\nExecStart=/bin/false\nExecStopPost=\nRestartSec=100ms\n"
    with machine.drop_in(broken):
        run("systemctl", "start", UNIT, ok=(1,))
        assert eventually(lambda: machine.show("ActiveState") == "failed")
        time.sleep(3)
        assert machine.show("ActiveState") == "failed", "it is tried again"
        tries = int(machine.show("NRestarts"))
        assert 1 <= tries <= 10
        assert machine.show("Result") in {"exit-code", "start-limit-hit"}
        run("systemctl", "reset-failed", UNIT)
    with machine.running():
        assert machine.is_active(), "without the drop-in it is what it was"


@pytest.fixture(scope="module")
def tuning(groups: Groups) -> Iterator[Groups]:
    """The service at work on the groups; it is given time to turn its knob by itself."""
    with machine.running(groups.configuration("active")):
        yield groups


def _is_turned(groups: Groups) -> bool:
    return machine.values(groups.hogs, ("cpu.idle",)) == {"cpu.idle": "1"}


def _is_untouched(groups: Groups) -> bool:
    return all(values == UNTOUCHED for values in groups.values().values())


@pytest.mark.parametrize("role", ["daemon", "actuator", "keeper"])
def test_whichever_process_is_killed_all_is_put_back_and_the_service_comes_again(
    role: str, tuning: Groups
) -> None:
    assert eventually(lambda: _is_turned(tuning)), "nothing was turned that could be put back"
    before, restarts = _now()
    os.kill(before[role], signal.SIGKILL)
    _comes_again(tuning, before, restarts)


def test_a_daemon_that_stands_still_is_bitten_by_the_watchdog_and_all_is_put_back(
    tuning: Groups,
) -> None:
    assert eventually(lambda: _is_turned(tuning)), "nothing was turned that could be put back"
    before, restarts = _now()
    place = machine.cursor()
    os.kill(before["daemon"], signal.SIGSTOP)
    _comes_again(tuning, before, restarts)
    assert "watchdog" in machine.messages_since(place).lower()


def _now() -> tuple[dict[str, int], int]:
    """Return the processes and the number of restarts; faults before do not count to the limit."""
    run("systemctl", "reset-failed", UNIT)
    return machine.processes(), int(machine.show("NRestarts"))


def _comes_again(groups: Groups, before: dict[str, int], restarts: int) -> None:
    assert eventually(lambda: int(machine.show("NRestarts")) > restarts)
    # Only now can a knob be turned again, and not for a window of ten seconds.
    assert eventually(lambda: _is_untouched(groups), 60), groups.values()
    assert eventually(machine.is_active)
    after = machine.processes()
    assert set(after) == {"keeper", "daemon", "actuator"}
    assert not set(after.values()) & set(before.values())
    assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in before.values()))
    (generation,) = machine.PINS.iterdir()
    assert generation.name.partition("-")[0] == str(after["keeper"])


def test_a_stop_puts_every_value_back_and_leaves_no_trace(tuning: Groups) -> None:
    assert eventually(lambda: _is_turned(tuning)), "nothing was turned that could be put back"
    run("systemctl", "stop", UNIT)
    assert _is_untouched(tuning), tuning.values()
    assert machine.left_behind() == []
    assert machine.show("Result") == "success"
    journal = machine.asked("resonanced", "journal")
    assert journal["entries"]
    assert {entry["fate"] for entry in journal["entries"]} == {"restored"}


def test_what_an_operator_applied_outlives_the_service_until_it_is_rolled_back(
    groups: Groups,
) -> None:
    with machine.configured(groups.configuration("observe")):
        applied = machine.asked("resonanced", "apply")
        assert {receipt["outcome"] for receipt in applied["receipts"]} == {"applied"}
        assert _is_turned(groups)
        run("systemctl", "start", UNIT)
        run("systemctl", "stop", UNIT)
        assert _is_turned(groups)
        assert machine.asked("resonanced", "verify")["drifted"] == 0
        run("resonanced", "rollback")
        assert _is_untouched(groups), groups.values()
        assert run("resonanced", "rollback").stdout == "nothing to put back, nothing to remove\n"


def test_the_logs_are_lines_of_words_and_pairs_that_a_program_can_read(groups: Groups) -> None:
    place = machine.cursor()
    with machine.running(groups.configuration("active")):
        assert eventually(lambda: _is_turned(groups))
    lines = [
        str(each["MESSAGE"])
        for each in machine.journal_since(place)
        if each.get("_COMM", "").startswith(("resonanced", "python"))
    ]
    assert lines
    noted = [line for line in lines if re.search(r"\b\w+=\S", line)]
    assert noted, lines
    assert all(line.isprintable() and len(line) < 4_096 for line in lines)
