# SPDX-License-Identifier: MIT
"""Are the kernel machines well described, and is nothing left of a build or a boot that fails?

The real ones are run by `make vm`; here programs stand in for QEMU, mmdebstrap and ssh.
"""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kernel_vms import building, commands, machine, matrix, qemu, results, running
from kernel_vms.errors import BootError, BuildError, MachineError, NoSuchMachineError, VmError

VAGRANT = Path(__file__).parents[2] / "vagrant"
MATRIX = matrix.read_matrix()
SCRIPTS = (
    *("build-box", "run-vm", "run-matrix", "customise-root", "lay-disk", "fetch-wheels"),
    "provision.sh",
)
PYTHON_VERBS = ("build-box", "run-vm", "run-matrix")

# A machine whose console says a little and that never opens a port.
NEVER_BOOTS = """
for word; do
  case $word in file:*console*) echo "Kernel panic: no init" >"${word#file:}" ;; esac
done
exec sleep 300
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Programs of this directory are found before those of the system; each notes its calls."""
    directory = tmp_path / "tools"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return directory


def make_tool(directory: Path, name: str, script: str) -> Path:
    path = directory / name
    calls = directory / f"{name}.calls"
    note = f"printf '%s\\n' \"$(echo $$ $* | tr '\\n' ' ')\" >>{calls}"
    path.write_text(f"#!/bin/bash\n{note}\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return calls


def processes_with(word: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line:
            found.append(line)
    return found


def wait_for(path: Path, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, f"there is no {path}"
        time.sleep(0.02)


# ---- what there is ----------------------------------------------------------------------------


def test_the_matrix_has_the_three_kernels_each_on_a_box_that_has_it() -> None:
    assert list(MATRIX.kernels) == ["6.1", "6.12", "7"]
    for kernel in MATRIX.kernels.values():
        assert kernel in MATRIX.boxes[kernel.box].kernels
        assert kernel.seen.startswith(kernel.release)


def test_a_kernel_is_named_by_its_metapackage_and_comes_from_a_source_of_its_box() -> None:
    for kernel in MATRIX.kernels.values():
        assert not [name for name in kernel.packages if re.search(r"\d\.\d", name)]
        assert kernel.suite in MATRIX.boxes[kernel.box].suites


def test_the_python_of_each_box_is_one_that_our_packages_are_built_for() -> None:
    assert {name: box.python for name, box in MATRIX.boxes.items()} == {
        "bookworm": "3.11",
        "trixie": "3.13",
    }


def test_a_kernel_that_is_not_in_the_matrix_is_answered_with_those_that_are() -> None:
    with pytest.raises(NoSuchMachineError, match="no kernel '5.10'.*6.1, 6.12, 7") as caught:
        MATRIX.kernel("5.10")
    assert caught.value.status == 2


def test_what_is_named_for_emulation_or_left_to_other_machines_is_there() -> None:
    tests = Path(__file__).parents[1]
    for name in (*MATRIX.emulated, *MATRIX.emulated_few, *MATRIX.elsewhere):
        file, _, test = name.partition("::")
        path = tests / file
        assert path.is_dir() or f"def {test.partition('[')[0]}" in path.read_text(encoding="utf-8")


def test_what_a_reboot_undoes_is_applied_under_emulation_too() -> None:
    assert "vm/test_reboot_before.py" in MATRIX.emulated_few


def test_the_vagrantfile_has_the_boxes_and_kernels_of_the_matrix() -> None:
    text = (VAGRANT / "Vagrantfile").read_text(encoding="utf-8")
    rows = re.findall(r'=> \{ box: "([^"]+)"(?:, kernel: "([^"]+)")? \}', text)
    assert {box for box, _ in rows} == set(MATRIX.public_boxes.values())
    assert {kernel for _, kernel in rows if kernel} == set(MATRIX.kernels)
    for box, kernel in rows:
        assert not kernel or MATRIX.public_boxes[MATRIX.kernels[kernel].box] == box


def test_what_may_not_travel_by_vagrant_names_every_box() -> None:
    text = (VAGRANT / "Vagrantfile").read_text(encoding="utf-8")
    assert not [name for name in MATRIX.boxes if f'"build/vm/{name}/"' not in text]


@pytest.mark.parametrize("name", [*SCRIPTS, "test"])
def test_every_script_is_executable_and_parses(name: str) -> None:
    path = VAGRANT / name
    assert path.stat().st_mode & stat.S_IXUSR
    subprocess.run(["bash", "-n", path], check=True)


@pytest.mark.parametrize("name", PYTHON_VERBS)
def test_every_verb_says_what_it_does(name: str) -> None:
    said = subprocess.run([VAGRANT / name, "--help"], check=True, capture_output=True, text=True)
    assert name in said.stdout


@pytest.mark.parametrize("name", ["build-box", "run-vm"])
def test_a_verb_refuses_an_unknown_kernel_with_status_2(name: str) -> None:
    done = subprocess.run([VAGRANT / name, "5.10"], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"{name}: no kernel '5.10' in kernels.toml; there are 6.1, 6.12, 7\n"


def test_requirements_name_only_what_the_developers_have_too() -> None:
    project = tomllib.loads((VAGRANT.parent / "pyproject.toml").read_text(encoding="utf-8"))
    known = set(project["project"]["optional-dependencies"]["dev"])
    lines = (VAGRANT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert {line for line in lines if line and not line.startswith("#")} <= known


def test_of_what_was_built_only_that_for_the_suite_travels(tmp_path: Path) -> None:
    source, target = tmp_path / "checkout", tmp_path / "machine"
    wanted = (
        "tests/vm/test_service.py",
        "build/deb/trixie/resonanced_1_amd64.deb",
        "build/wheels/trixie/tests/pytest/__init__.py",
        "build/vm/minimal_scheduler.bpf.o",
    )
    unwanted = (
        ".git/HEAD",
        ".venv/bin/python",
        "build/deb/bookworm/resonanced_1_amd64.deb",
        "build/deb/trixie/resonance-1/debian/rules",
        "build/wheels/trixie/numpy.whl",
        "build/vm/trixie/packages.txt",
        "build/vm/results/7/junit-machine.xml",
        "tests/vm/__pycache__/test_service.pyc",
    )
    for name in wanted + unwanted:
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="ascii")
    command = ["rsync", "--archive", *running.what_travels("trixie"), f"{source}/", f"{target}/"]
    subprocess.run(command, check=True)
    arrived = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert arrived == set(wanted)


# ---- accelerators -----------------------------------------------------------------------------


def boot_files(directory: Path) -> qemu.Boot:
    for name in ("vmlinuz", "initrd", "disk.raw"):
        (directory / name).write_bytes(b"")
    return qemu.Boot(directory / "vmlinuz", directory / "initrd", directory / "disk.raw")


def test_the_operator_chooses_the_accelerator_and_nothing_is_tried(
    tmp_path: Path, tools: Path
) -> None:
    calls = make_tool(tools, qemu.QEMU, "exit 1")
    boot = boot_files(tmp_path)
    assert qemu.choose_accelerator(boot, {"VM_ACCEL": "kvm"}, tmp_path).name == "kvm"
    assert qemu.choose_accelerator(boot, {"VM_ACCEL": "tcg"}, tmp_path).name == "tcg"
    assert not calls.exists()


def test_an_accelerator_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="VM_ACCEL: 'xen' is neither kvm nor tcg"):
        qemu.choose_accelerator(boot_files(tmp_path), {"VM_ACCEL": "xen"})


def test_without_the_device_nothing_is_tried(tmp_path: Path, tools: Path) -> None:
    calls = make_tool(tools, qemu.QEMU, "exit 1")
    chosen = qemu.choose_accelerator(boot_files(tmp_path), {}, tmp_path / "kvm")
    assert (chosen.name, calls.exists()) == ("tcg", False)


def test_kvm_that_boots_a_kernel_is_taken(tmp_path: Path, tools: Path) -> None:
    make_tool(
        tools,
        qemu.QEMU,
        NEVER_BOOTS.replace("Kernel panic: no init", qemu.BOOTED),
    )
    device = tmp_path / "kvm"
    device.touch()
    assert qemu.choose_accelerator(boot_files(tmp_path), {}, device).name == "kvm"


def test_kvm_that_aborts_is_not_taken_though_its_device_is_there(
    tmp_path: Path, tools: Path
) -> None:
    make_tool(tools, qemu.QEMU, "echo 'kvm.c:3183: Assertion failed' >&2; exit 134")
    device = tmp_path / "kvm"
    device.touch()
    chosen = qemu.choose_accelerator(boot_files(tmp_path), {}, device)
    assert chosen.name == "tcg"
    assert chosen.reason == "KVM was tried: QEMU ended with 134: Assertion failed"


def test_kvm_that_hangs_is_given_up_and_ended(tmp_path: Path, tools: Path) -> None:
    calls = make_tool(tools, qemu.QEMU, "exec sleep 300")
    assert qemu.why_kvm_fails(boot_files(tmp_path), 0.5) == "no kernel booted in 0 s"
    process = int(calls.read_text(encoding="ascii").split()[0])
    assert not Path(f"/proc/{process}").exists()


def test_a_machine_is_reachable_from_this_host_alone_and_has_no_way_out(tmp_path: Path) -> None:
    command = qemu.machine_command(
        boot_files(tmp_path),
        accelerator=qemu.Accelerator("tcg", ""),
        console=tmp_path / "console.log",
        port=2200,
        cpus=4,
        memory=2048,
    )
    network = command[command.index("-netdev") + 1]
    assert network == "user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:2200-:22"
    assert "-no-reboot" not in command


# ---- a machine that does not come up ----------------------------------------------------------


def boot_a_machine(directory: Path, seconds: float) -> None:
    (directory / "run").mkdir()
    with machine.running_machine(
        "kernel 6.1",
        boot_files(directory),
        key=directory / "key",
        accelerator=qemu.Accelerator("tcg", ""),
        shape=machine.Shape(boot_seconds=seconds),
        directory=directory / "run",
    ):
        raise AssertionError("it came up")


def test_a_machine_that_does_not_boot_is_ended_in_time_and_its_console_shown(
    tmp_path: Path, tools: Path
) -> None:
    make_tool(tools, "ssh", "exit 255")
    calls = make_tool(tools, qemu.QEMU, NEVER_BOOTS)
    start = time.monotonic()
    with pytest.raises(BootError, match="kernel 6.1 did not boot: no ssh in 1 s") as caught:
        boot_a_machine(tmp_path, 1)
    assert time.monotonic() - start < 10
    assert "Kernel panic: no init" in str(caught.value)
    assert caught.value.status == 3
    process = int(calls.read_text(encoding="ascii").split()[0])
    assert not Path(f"/proc/{process}").exists()


def test_of_a_qemu_that_ends_at_once_its_own_words_are_shown(tmp_path: Path, tools: Path) -> None:
    make_tool(tools, "ssh", "exit 255")
    make_tool(tools, qemu.QEMU, "echo 'could not open disk image' >&2; exit 1")
    with pytest.raises(BootError, match=r"QEMU ended with 1(?s:.)*could not open disk image"):
        boot_a_machine(tmp_path, 10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_running_when_the_launcher_is_ended(
    tmp_path: Path, tools: Path, number: signal.Signals
) -> None:
    make_tool(tools, "ssh", "exit 255")
    calls = make_tool(tools, qemu.QEMU, NEVER_BOOTS)
    program = (
        "import sys; from pathlib import Path; from unit import test_vagrant as t\n"
        "from kernel_vms.commands import interruptible\n"
        "with interruptible(): t.boot_a_machine(Path(sys.argv[1]), 60)\n"
    )
    path = os.pathsep.join((str(VAGRANT), str(Path(__file__).parents[1])))
    process = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path],
        env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.DEVNULL,
    )
    wait_for(calls, 30)
    process.send_signal(number)
    process.wait(20)
    until = time.monotonic() + 5
    while processes_with(str(tmp_path / "run")) and time.monotonic() < until:
        time.sleep(0.05)
    assert processes_with(str(tmp_path / "run")) == []


def test_a_command_that_takes_too_long_ends_with_the_console(tmp_path: Path, tools: Path) -> None:
    make_tool(tools, "ssh", "exec sleep 300")
    process = subprocess.Popen(["true"])
    process.wait()
    console = tmp_path / "console.log"
    console.write_text("watchdog: BUG: soft lockup\n", encoding="ascii")
    up = machine.Machine("kernel 6.1", process, 2200, tmp_path / "key", console)
    with pytest.raises(MachineError, match=r"tests: not done in 0 s(?s:.)*soft lockup"):
        up.run("tests", 0.3)


def test_the_exit_status_of_a_command_in_the_machine_comes_through(
    tmp_path: Path, tools: Path
) -> None:
    make_tool(tools, "ssh", "exit 7")
    process = subprocess.Popen(["true"])
    process.wait()
    up = machine.Machine("kernel 6.1", process, 2200, tmp_path / "key", tmp_path / "console.log")
    assert up.run("exit 7", 10) == 7


# ---- builds -----------------------------------------------------------------------------------


@pytest.fixture
def a_build(tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> matrix.Place:
    """A place where builds work in no time, with programs that leave what the real ones would."""
    monkeypatch.setattr(building.os, "geteuid", lambda: 0)
    monkeypatch.setattr(building, "KEYRING", "/etc/os-release")
    monkeypatch.setattr(building, "NEEDED_BYTES", 0)
    monkeypatch.setattr(building, "IN_ITS_OWN_MOUNTS", ())
    monkeypatch.setattr(building, "CUSTOMISE", tools / "customise-root")
    make_tool(
        tools,
        "mmdebstrap",
        'root="${@: -2:1}"; mkdir -p "$root/boot" "$root/var/lib/dpkg"; '
        "for release in 6.1.0-1-amd64 6.1.0-9-amd64 6.12.95-amd64; do "
        'touch "$root/boot/vmlinuz-$release" "$root/boot/initrd.img-$release"; done; '
        'echo "Package: bash" >"$root/var/lib/dpkg/status"',
    )
    make_tool(tools, "customise-root", ":")
    make_tool(tools, "qemu-img", 'touch "${!#}"')
    make_tool(tools, "ssh-keygen", 'touch "${!#}" "${!#}.pub"')
    make_tool(tools, "zstd", ":")
    return matrix.Place(tmp_path)


def calls_of(tools: Path, name: str) -> int:
    path = tools / f"{name}.calls"
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def test_a_build_records_the_newest_release_that_each_metapackage_brought(
    a_build: matrix.Place,
) -> None:
    record = building.build_box(MATRIX.boxes["bookworm"], a_build)
    assert record.kernels == {"6.1": "6.1.0-9-amd64", "6.12": "6.12.95-amd64"}
    assert building.read_record(a_build, "bookworm") == record
    left = {path.name for path in a_build.box("bookworm").iterdir()}
    assert left == {
        *("box.json", "root", "key", "key.pub", "packages.txt"),
        *("vmlinuz-6.1", "initrd-6.1", "vmlinuz-6.12", "initrd-6.12"),
    }


def test_a_box_that_is_there_is_not_built_again_unless_asked(
    a_build: matrix.Place, tools: Path
) -> None:
    box = MATRIX.boxes["bookworm"]
    first = building.build_box(box, a_build)
    assert building.build_box(box, a_build) == first
    assert calls_of(tools, "mmdebstrap") == 1
    building.build_box(box, a_build, fresh=True)
    assert calls_of(tools, "mmdebstrap") == 2


def test_a_box_of_another_package_list_is_built_anew(a_build: matrix.Place, tools: Path) -> None:
    box = MATRIX.boxes["bookworm"]
    building.build_box(box, a_build)
    building.build_box(replace(box, packages=(*box.packages, "strace")), a_build)
    assert calls_of(tools, "mmdebstrap") == 2


def test_noting_what_was_seen_of_a_kernel_builds_nothing() -> None:
    box = MATRIX.boxes["trixie"]
    noted = replace(box, kernels=tuple(replace(each, seen="7.9") for each in box.kernels))
    assert building.box_key(noted) == building.box_key(box)


def test_a_build_goes_on_after_the_last_step_that_ended(a_build: matrix.Place, tools: Path) -> None:
    box = MATRIX.boxes["bookworm"]
    good = (tools / "ssh-keygen").read_text(encoding="utf-8")
    make_tool(tools, "ssh-keygen", "echo 'no space left' >&2; exit 1")
    with pytest.raises(BuildError, match="customise: ssh-keygen ended with 1\n.*no space left"):
        building.build_box(box, a_build)
    (tools / "ssh-keygen").write_text(good, encoding="utf-8")
    building.build_box(box, a_build)
    assert (calls_of(tools, "mmdebstrap"), calls_of(tools, "ssh-keygen")) == (1, 2)


def test_a_step_that_was_interrupted_starts_over_cleanly(
    a_build: matrix.Place, tools: Path
) -> None:
    box = MATRIX.boxes["bookworm"]
    good = (tools / "mmdebstrap").read_text(encoding="utf-8")
    make_tool(tools, "mmdebstrap", 'touch "${@: -2:1}/half"; exit 9')
    with pytest.raises(BuildError, match="root: mmdebstrap ended with 9"):
        building.build_box(box, a_build)
    assert (a_build.box("bookworm") / "work" / "root" / "half").exists()
    (tools / "mmdebstrap").write_text(good, encoding="utf-8")
    building.build_box(box, a_build)
    assert building.read_record(a_build, "bookworm")
    assert not (a_build.box("bookworm") / "root" / "half").exists()


def test_a_build_of_other_inputs_does_not_go_on_from_an_old_one(
    a_build: matrix.Place, tools: Path
) -> None:
    box = MATRIX.boxes["bookworm"]
    good = (tools / "ssh-keygen").read_text(encoding="utf-8")
    make_tool(tools, "ssh-keygen", "exit 1")
    with pytest.raises(BuildError):
        building.build_box(box, a_build)
    (tools / "ssh-keygen").write_text(good, encoding="utf-8")
    building.build_box(replace(box, packages=("bash",)), a_build)
    assert calls_of(tools, "mmdebstrap") == 2


def test_a_box_stays_as_it_is_while_a_newer_one_fails(a_build: matrix.Place, tools: Path) -> None:
    box = MATRIX.boxes["bookworm"]
    record = building.build_box(box, a_build)
    make_tool(tools, "mmdebstrap", "exit 100")
    with pytest.raises(BuildError):
        building.build_box(box, a_build, fresh=True)
    assert building.read_record(a_build, "bookworm") == record


def test_a_step_is_ended_when_its_time_is_over(tmp_path: Path, tools: Path) -> None:
    calls = make_tool(tools, "mmdebstrap", "echo unpacking; exec sleep 300")
    with pytest.raises(BuildError, match="root: not done in 1 s\nunpacking"):
        commands.run_step("root", ["mmdebstrap"], tmp_path / "log", 1)
    process = int(calls.read_text(encoding="ascii").split()[0])
    assert not Path(f"/proc/{process}").exists()


def test_a_suite_that_brings_another_kernel_says_which(a_build: matrix.Place) -> None:
    box = MATRIX.boxes["bookworm"]
    newer = replace(box.kernels[0], name="6.6", release="6.6.")
    with pytest.raises(BuildError, match=r"brought no kernel 6.6.\*, but 6.1.0-1-amd64, 6.1.0-9"):
        building.build_box(replace(box, kernels=(newer,)), a_build)


def test_who_is_not_root_is_told_before_anything_is_done(
    a_build: matrix.Place, monkeypatch: pytest.MonkeyPatch, tools: Path
) -> None:
    monkeypatch.setattr(building.os, "geteuid", lambda: 1000)
    with pytest.raises(BuildError, match="made by root: run it with sudo"):
        building.build_box(MATRIX.boxes["bookworm"], a_build)
    assert calls_of(tools, "mmdebstrap") == 0


def test_a_missing_tool_is_named_with_the_line_that_gets_it(
    a_build: matrix.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "TOOLS", {"mmdebstrop": "mmdebstrap", "bash": "bash"})
    with pytest.raises(BuildError, match="no mmdebstrop: apt-get install mmdebstrap$"):
        building.build_box(MATRIX.boxes["bookworm"], a_build)


def test_a_disk_that_is_too_small_is_told_before_it_is_filled(
    a_build: matrix.Place, monkeypatch: pytest.MonkeyPatch, tools: Path
) -> None:
    monkeypatch.setattr(building, "NEEDED_BYTES", 1 << 60)
    with pytest.raises(BuildError, match="GiB are free in .*, a build needs 1073741824.0 GiB"):
        building.build_box(MATRIX.boxes["bookworm"], a_build)
    assert calls_of(tools, "mmdebstrap") == 0


def test_a_box_for_vagrant_brings_its_kernel_and_its_key(
    a_build: matrix.Place, tools: Path
) -> None:
    record = building.build_box(MATRIX.boxes["bookworm"], a_build)
    make_tool(tools, "mke2fs", ":")
    packed = building.pack_for_vagrant(MATRIX.kernels["6.12"], record, a_build)
    assert packed.name == "resonance-6.12.box"
    with tarfile.open(packed) as tar:
        names = set(tar.getnames())
        about = json.loads(tar.extractfile("metadata.json").read())
        boxed = tar.extractfile("Vagrantfile").read().decode()
    assert names == {"metadata.json", "Vagrantfile", "box.img", "vmlinuz", "initrd", "key"}
    assert about == {"provider": "libvirt", "format": "qcow2", "virtual_size": 8}
    assert {name for name in names if f'"{name}"' in boxed} == {"vmlinuz", "initrd", "key"}


def test_two_builds_or_machines_wait_for_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "vm" / "lock"
    monkeypatch.setattr(commands, "LOCK_SECONDS", 0)
    with (
        commands.sole(lock),
        pytest.raises(VmError, match="another one has held"),
        commands.sole(lock),
    ):
        pass
    with commands.sole(lock):
        pass


# ---- results ----------------------------------------------------------------------------------

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.vm.test_service" name="test_start" time="2.5"/>
<testcase classname="tests.vm.test_service" name="test_stop" time="1">
<failure message="no"/></testcase>
<testcase classname="tests.vm.test_service" name="test_stop" time="0">
<error message="left"/></testcase>
<testcase classname="tests.privileged.tuning.test_tasks" name="test_nice" time="1"/>
</testsuite></testsuites>"""


def a_run(directory: Path, status: int = 1) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "junit-machine.xml").write_text(JUNIT, encoding="utf-8")
    (directory / "status-machine").write_text(f"{status}\n", encoding="ascii")
    return directory


def test_results_are_told_by_file_and_a_test_that_fails_twice_is_one(tmp_path: Path) -> None:
    found = results.read_results(a_run(tmp_path))
    groups = {group.name: (group.passed, group.failed) for group in found.groups}
    assert groups == {"privileged/tuning/tasks": (1, []), "vm/service": (1, ["test_stop"])}
    assert not found.are_good


def test_a_run_that_broke_off_is_not_good_whatever_its_tests_said(tmp_path: Path) -> None:
    found = results.read_results(a_run(tmp_path, 124))
    assert found.broken_off == ["machine ended with 124"]
    assert not found.are_good


def test_no_results_are_not_good_results(tmp_path: Path) -> None:
    assert not results.read_results(tmp_path).are_good


@pytest.mark.parametrize(("choice", "of_the_machine"), [("", 1), ("vm", 0)])
def test_what_emulation_leaves_out_is_named(
    choice: str, of_the_machine: int, tmp_path: Path
) -> None:
    (tmp_path / "virtualisation").write_text("qemu\n", encoding="ascii")
    results.write_left_out(str(tmp_path), choice)
    left = results.read_results(tmp_path).left_out
    suite = Path(__file__).parents[1] / "privileged"
    slow = [name for name, why in left.items() if why == results.EMULATED]
    whole = [name for name in MATRIX.elsewhere if "::" not in name]
    runs = MATRIX.emulated if choice else MATRIX.emulated_few
    run = [name for name in runs if name.startswith("privileged")]
    files = len(list(suite.rglob("test_*.py"))) - len(run) - len(whole)
    assert len(slow) == files + of_the_machine
    assert "privileged/runqueue" in slow


@pytest.mark.parametrize(
    ("virtualisation", "choice"), [("kvm", ""), ("kvm", "vm"), ("qemu", "all")]
)
def test_where_it_is_accelerated_or_asked_for_all_of_it_runs(
    virtualisation: str, choice: str, tmp_path: Path
) -> None:
    (tmp_path / "virtualisation").write_text(virtualisation, encoding="ascii")
    results.write_left_out(str(tmp_path), choice)
    left = results.read_results(tmp_path).left_out
    assert list(left.values()) == list(MATRIX.elsewhere.values())


def test_what_an_operator_leaves_out_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "virtualisation").write_text("kvm\n", encoding="ascii")
    results.write_left_out(str(tmp_path), "test_service")
    left = results.read_results(tmp_path).left_out
    assert list(left.values()) == ["VM_TESTS=test_service"] * 2


def test_the_table_has_a_column_for_each_kernel_also_for_one_that_did_not_run(
    tmp_path: Path,
) -> None:
    place = matrix.Place(tmp_path)
    directory = a_run(place.results("6.1"))
    (directory / "run.json").write_text('{"release": "6.1.0-9-amd64"}', encoding="ascii")
    path = running.write_table(MATRIX, place)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "|  | 6.1 | 6.12 | 7 |"
    assert "| kernel | 6.1.0-9-amd64 |  |  |" in lines
    assert "| vm/service | **1 failed**, 1 passed | did not run | did not run |" in lines


def _apt(directory: Path, said: str) -> str:
    """Put an apt-get there that says so, and return a PATH on which it is the only one."""
    program = directory / "apt-get"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}END\n", encoding="ascii")
    program.chmod(0o755)
    return f"{directory}:/usr/bin:/bin"


def test_suites_come_from_where_apt_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "http://a/debian bookworm\nhttp://b/security bookworm-security\nhttp://c/other extra\n"
    monkeypatch.setenv("PATH", _apt(tmp_path, said))
    lines = building.source_lines(["trixie", "trixie-backports", "trixie-security"])
    assert [line.split("] ")[1] for line in lines.splitlines()] == [
        "http://a/debian trixie main",
        "http://a/debian trixie-backports main",
        "http://b/security trixie-security main",
    ]


def test_without_security_updates_no_box_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", _apt(tmp_path, "http://a/debian bookworm\n"))
    with pytest.raises(BuildError, match="not its security updates"):
        building.source_lines(["trixie", "trixie-security"])
