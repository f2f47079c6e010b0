# SPDX-License-Identifier: MIT
"""Does the whole service keep its manners: privileges, ends of every kind, and bad starts?"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from privileged.probes import Task, start_task
from privileged.running import Place, Service, free_port, still_loaded
from resonance_bpf.hierarchy import find_hierarchy

KEEPER_CAPABILITIES = 1 << 1 | 1 << 5 | 1 << 39
"""CAP_DAC_OVERRIDE, CAP_KILL, CAP_BPF; include/uapi/linux/capability.h."""


@pytest.fixture
def task() -> Iterator[Task]:
    running = start_task()
    yield running
    running.end()


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup without tasks; those that are in it at the end are moved out."""
    mount = find_hierarchy().mount
    directory = mount / f"resonance-test-{os.getpid()}-service"
    directory.mkdir()
    yield directory
    for pid in (directory / "cgroup.procs").read_text(encoding="ascii").split():
        (mount / "cgroup.procs").write_text(pid, encoding="ascii")
    for inner in directory.glob("*/"):
        inner.rmdir()
    directory.rmdir()


def _eventually(is_so: Callable[[], bool], patience_seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + patience_seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _status(process: psutil.Process) -> dict[str, str]:
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def _capabilities(process: psutil.Process) -> dict[str, int]:
    return {name: int(text, 16) for name, text in _status(process).items() if name[:3] == "Cap"}


def test_the_daemon_is_nobody_and_can_nothing(service: Service) -> None:
    status = _status(service.daemon)
    capabilities = _capabilities(service.daemon)
    assert 0 not in map(int, status["Uid"].split() + status["Gid"].split())
    assert "0" not in status["Groups"].split()
    assert status["NoNewPrivs"] == "1"
    assert capabilities["CapEff"] == capabilities["CapPrm"] == capabilities["CapAmb"] == 0


def test_the_keeper_keeps_three_capabilities_and_loads_no_library_of_the_loader(
    service: Service,
) -> None:
    capabilities = _capabilities(service.keeper)
    assert capabilities["CapEff"] == capabilities["CapPrm"] == KEEPER_CAPABILITIES
    mapped = Path(f"/proc/{service.keeper.pid}/maps").read_text(encoding="utf-8")
    assert [name for name in ("libbpf", "libbcc", "numpy", "grpc") if name in mapped] == []


def test_the_daemon_holds_no_descriptor_it_could_write_to_the_kernel_with(
    service: Service,
) -> None:
    descriptors = Path(f"/proc/{service.daemon.pid}/fdinfo")
    infos = [path.read_text(encoding="utf-8") for path in descriptors.iterdir()]
    maps = [info for info in infos if "map_type" in info]
    assert all("frozen:\t1" in info for info in maps)
    assert [info for info in infos if "prog_id" in info and "map_type" not in info] == []


def test_it_serves_metrics_hints_and_health_and_says_where(service: Service) -> None:
    place = service.place
    socket_path = place.runtime_directory / "hints.sock"
    assert f"http://127.0.0.1:{place.port}/metrics" in service.said
    assert f"unix://{socket_path}" in service.said
    assert socket_path.stat().st_mode & 0o7777 == 0o660
    assert (place.runtime_directory / "hints.page").stat().st_mode & 0o7777 == 0o640
    assert service.metric(
        "resonance_backend_info",
        backend="core",
        tier="core",
        hierarchy=find_hierarchy().name,
        mode="observe",
    )
    assert service.metric("resonance_probe_attached", program="runqueue_switch") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_signal_ends_it_with_0_and_nothing_is_left(
    number: signal.Signals, place: Place
) -> None:
    service = place.start()
    objects, daemon = service.kernel_objects(), service.daemon
    assert {"link_runqueue_switch", "prog_runqueue_switch"} <= objects.keys()
    assert service.stop(number) == 0
    assert not daemon.is_running()
    assert still_loaded(objects) == {}
    assert place.left_behind() == []


def test_a_signal_to_the_whole_group_as_from_a_terminal_ends_it_with_0(place: Place) -> None:
    service = place.start()
    for process in (service.keeper, service.daemon):
        process.send_signal(signal.SIGINT)
    assert service.ended() == 0
    assert place.left_behind() == []


def test_for_some_seconds_ends_by_itself_with_0(place: Place) -> None:
    service = place.start("--for", "0.5")
    service.process.communicate(timeout=20)
    assert service.process.returncode == 0
    assert place.left_behind() == []


def test_when_the_daemon_is_killed_the_keeper_takes_all_back_and_fails(place: Place) -> None:
    service = place.start()
    objects = service.kernel_objects()
    service.daemon.kill()
    assert service.ended() == 1
    assert "child_ended role=daemon" in service.errors
    assert still_loaded(objects) == {}
    assert place.left_behind() == []


def test_when_the_keeper_is_killed_the_daemon_ends_and_the_next_start_leaves_one_generation(
    place: Place,
) -> None:
    service = place.start()
    objects, daemon = service.kernel_objects(), service.daemon
    service.process.kill()
    service.process.communicate()
    daemon.wait(timeout=10)
    (stale,) = place.generations()
    assert not stale.is_alive
    assert still_loaded(objects, patience_seconds=0.0) == objects

    successor = place.start()
    (alive,) = place.generations()
    assert alive.pid == successor.process.pid
    assert still_loaded(objects) == {}
    assert successor.stop() == 0


def test_rollback_removes_what_a_killed_service_left(place: Place) -> None:
    service = place.start()
    objects, daemon = service.kernel_objects(), service.daemon
    service.process.kill()
    service.process.communicate()
    daemon.wait(timeout=10)
    (stale,) = place.generations()
    rolled_back = place.run("rollback", "--output", "json")
    assert rolled_back.returncode == 0
    removed = json.loads(rolled_back.stdout)
    assert removed["alive"] == []
    assert str(stale.path) in removed["removed"]
    assert place.left_behind() == []
    assert still_loaded(objects) == {}
    assert place.run("rollback").stdout == "nothing to put back, nothing to remove\n"


def test_rollback_leaves_a_running_service_alone(service: Service) -> None:
    rolled_back = service.place.run("rollback")
    assert rolled_back.returncode == 1
    assert str(service.process.pid) in rolled_back.stdout
    assert len(service.place.generations()) == 1
    assert service.metric("resonance_probe_attached", program="socket_srtt") == 1


def _refusal(started: subprocess.CompletedProcess[str]) -> str:
    """Return the one line a failed start ends with."""
    assert started.stdout == ""
    assert "Traceback" not in started.stderr
    said = [line for line in started.stderr.splitlines() if line.startswith("resonanced: ")]
    assert len(said) == 1, started.stderr
    return said[0]


def test_a_taken_port_is_one_clear_line_and_nothing_is_left(place: Place) -> None:
    with socket.create_server(("127.0.0.1", place.port)):
        started = place.run("run")
    assert started.returncode == 1
    assert str(place.port) in _refusal(started)
    assert place.left_behind() == []


def test_a_socket_that_somebody_serves_is_not_taken_over(place: Place) -> None:
    place.runtime_directory.mkdir()
    path = place.runtime_directory / "hints.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        started = place.run("run")
        assert started.returncode == 1
        assert f"{path}: socket taken" in _refusal(started)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_second_instance_is_refused_with_the_pid_of_the_first(service: Service) -> None:
    second = service.place.run("run", "--port", str(free_port()))
    assert second.returncode == 1
    assert f"in use by resonanced, pid {service.process.pid}" in _refusal(second)
    assert len(service.place.generations()) == 1
    assert service.metric("resonance_probe_attached", program="socket_connect") == 1


def test_a_runtime_directory_that_cannot_be_made_is_one_clear_line(place: Place) -> None:
    started = place.run("run", "--runtime-directory", "/proc/resonance")
    assert started.returncode == 1
    assert "/proc/resonance" in _refusal(started)
    assert "service.runtime_directory" in _refusal(started)


def test_without_root_it_says_so(place: Place) -> None:
    for path in (place.config, *place.config.parents[:3]):
        path.chmod(path.stat().st_mode | 0o055)
    # Imported as root: the environment may lie where nobody else can read it.
    as_nobody = (
        "import os, sys; from resonanced import announcement, cli, keeper, logs;"
        " os.setgroups([]);"
        " os.setresgid(*[65534] * 3); os.setresuid(*[65534] * 3); sys.exit(cli.main(sys.argv[1:]))"
    )
    started = subprocess.run(
        [sys.executable, "-c", as_nobody, *place.command("run")[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 1
    assert _refusal(started) == "resonanced: not root: only root may load probes; run it with sudo"


@pytest.mark.parametrize("key", ["user", "group"])
def test_an_identity_that_does_not_exist_is_refused_before_anything_is_made(
    key: str, place: Place
) -> None:
    place.write_config(service={key: "no-such-name"})
    started = place.run("run")
    assert started.returncode == 1
    assert f"service.{key}" in _refusal(started)
    assert place.left_behind() == []


def test_an_unknown_key_and_a_missing_file_exit_2(place: Place) -> None:
    place.write_config(signals={"intervall_seconds": 1.0})
    started = place.run("run")
    assert started.returncode == 2
    assert "intervall_seconds" in _refusal(started)
    place.config.unlink()
    started = place.run("run")
    assert started.returncode == 2
    assert f"{place.config}: no such file" in _refusal(started)


def test_a_reload_takes_a_good_file_and_keeps_the_old_one_for_a_bad_one(
    service: Service, cgroup: Path
) -> None:
    path = f"/{cgroup.name}"
    assert path not in service.slots()
    service.place.write_config(signals={"cgroups": [path]})
    service.process.send_signal(signal.SIGHUP)
    assert _eventually(lambda: path in service.slots())
    assert service.metric("resonance_reloads_total", outcome="applied") == 1

    service.place.config.write_text("[signals]\ncgroups = 7\n", encoding="utf-8")
    service.process.send_signal(signal.SIGHUP)
    assert _eventually(lambda: service.metric("resonance_reloads_total", outcome="refused") == 1)
    assert path in service.slots()

    service.place.write_config(signals={"cgroups": [path]}, hints={"page_hz": 100.0})
    service.process.send_signal(signal.SIGHUP)
    assert _eventually(
        lambda: service.metric("resonance_reloads_total", outcome="needs_restart") == 1
    )
    assert service.stop() == 0
    assert "reload_refused" in service.errors
    assert "signals.cgroups" in service.errors
    assert "needs_restart=hints.page_hz" in service.errors


def test_a_configured_cgroup_has_its_waits_in_the_metrics(
    place: Place, cgroup: Path, task: Task
) -> None:
    place.write_config(signals={"cgroups": [f"/{cgroup.name}"]})
    service = place.start()
    slot = service.slots()[f"/{cgroup.name}"]
    (cgroup / "cgroup.procs").write_text(str(task.pid), encoding="ascii")
    runs_before, _ = task.account()
    task.do("burn_by_count", 499)
    runs, _ = task.account()

    def counted() -> float:
        return service.metric("resonance_runqueue_switches_total", slot=slot)

    # A few switches may fire no tracepoint; see test_runqueue.py.
    assert _eventually(lambda: counted() >= 0.9 * (runs - runs_before))
    assert counted() <= runs - runs_before + 1
    samples = service.metrics()
    latency = "resonance_runqueue_latency_seconds"
    count = samples[f"{latency}_count"][("slot", slot),]
    assert count == samples["resonance_runqueue_switches_total"][("slot", slot),]
    assert count == samples[f"{latency}_bucket"][("le", "+Inf"), ("slot", slot)]
    assert service.stop() == 0


def test_the_slot_of_a_removed_cgroup_is_no_longer_exported(place: Place, cgroup: Path) -> None:
    inner = cgroup / "inner"
    inner.mkdir()
    path = f"/{cgroup.name}/inner"
    place.write_config(signals={"cgroups": [path]})
    service = place.start()
    slot = service.slots()[path]
    inner.rmdir()
    assert _eventually(lambda: path not in service.slots())
    pressures = service.metrics()["resonance_pressure_ratio"]
    assert (("slot", slot),) not in pressures
    assert service.stop() == 0


def test_a_thousand_short_lived_cgroups_add_no_series(service: Service, task: Task) -> None:
    mount, prefix = find_hierarchy().mount, f"resonance-test-{os.getpid()}-brief"
    task.order("pass_through_cgroups", str(mount), prefix, 1_009)
    most = 0
    while not task.has_answered():
        most = max(most, sum(prefix in path for path in service.slots()))
        time.sleep(0.3)
    task.answer()
    assert _eventually(lambda: not any(prefix in path for path in service.slots()))
    samples = service.metrics()
    series = {labels for name in samples for labels in samples[name] if dict(labels).get("slot")}
    slots = {dict(labels)["slot"] for labels in series}
    assert slots == set(service.slots().values())
    assert most <= 2
    assert len(list(mount.glob(f"{prefix}*"))) == 0
