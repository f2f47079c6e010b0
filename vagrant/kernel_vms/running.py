# SPDX-License-Identifier: MIT
"""What is done in a machine, and what comes out of it?

A disk is laid with the checkout on it, the tests run on both sides of a reboot, and what they
said comes out, also where they failed or the machine was lost.

The exit status of a run says who is to look: 0 nobody, 1 the author of a test or of what it
tests, 2 the operator, 3 whoever looks after machines.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kernel_vms.building import lay_disk, read_record
from kernel_vms.commands import missing_tools, say
from kernel_vms.errors import MachineError, VmError
from kernel_vms.machine import Machine, Shape, running_machine
from kernel_vms.matrix import Box, Kernel, Matrix, Place
from kernel_vms.qemu import Accelerator, Boot, choose_accelerator
from kernel_vms.results import Results, read_results, table

TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "rsync": "rsync",
    "ssh": "openssh-client",
    "setpriv": "util-linux",
}
COPY_SECONDS = 300.0
TESTS_SECONDS = 5400.0
SCHEDULER = "build/vm/minimal_scheduler.bpf.o"
"""A scheduler for the tests of sched_ext: compiled outside, because there is no compiler inside."""


@dataclass(slots=True)
class RunRecord:
    """What a run says of itself, in ``run.json``."""

    kernel: str
    release: str
    suite: str
    accelerator: str
    accelerator_reason: str
    status: int = 3
    error: str = ""
    seconds: float = 0.0
    parts_seconds: dict[str, float] = field(default_factory=dict[str, float])


def what_travels(suite: str) -> list[str]:
    """Give rsync's filter: the checkout, and of what was built that for one suite."""
    built = [
        *("/build/", "/build/deb/", f"/build/deb/{suite}/", f"/build/deb/{suite}/*.deb"),
        *("/build/wheels/", f"/build/wheels/{suite}/", f"/build/wheels/{suite}/tests/***"),
        *("/build/vm/", f"/{SCHEDULER}"),
    ]
    left = ("/build/**", "/.git", "/.venv", "/dist", "/docs/results", "__pycache__", ".*_cache")
    return [f"--include={path}" for path in built] + [f"--exclude={path}" for path in left]


def check_inputs(box: Box, place: Place) -> None:
    """Say what has to be made before a machine can be given its tests."""
    if missing := missing_tools(TOOLS):
        raise VmError(missing)
    if not list(place.debs(box.name).glob("*.deb")):
        raise VmError(f"no packages in {place.debs(box.name)}: run make deb")
    if not (place.wheels(box.name) / "tests").is_dir():
        raise VmError(f"no pytest for {box.name}: run vagrant/fetch-wheels {box.name}")


class Run:
    """One machine, from its boot to its results.

    Parameters
    ----------
    kernel
        Which it boots.
    matrix
        Where it is from.
    place
        Where everything lies.
    shape
        How large it is.
    """

    def __init__(self, kernel: Kernel, matrix: Matrix, place: Place, shape: Shape) -> None:
        self._kernel = kernel
        self._box = matrix.boxes[kernel.box]
        self._place = place
        self._shape = shape
        self._results = place.results(kernel.name)
        record = read_record(place, kernel.box)
        if record is None or kernel.name not in record.kernels:
            raise VmError(f"no box for {kernel.name}: run vagrant/build-box {kernel.name} as root")
        directory = place.box(kernel.box)
        self._root = directory / "root"
        self._key = directory / "key"
        self._boot = Boot(
            vmlinuz=directory / f"vmlinuz-{kernel.name}",
            initrd=directory / f"initrd-{kernel.name}",
            disk=place.run / "disk.raw",
        )
        self._accelerator = choose_accelerator(self._boot)
        self._record = RunRecord(
            kernel=kernel.name,
            release=record.kernels[kernel.name],
            suite=kernel.box,
            accelerator=self._accelerator.name,
            accelerator_reason=self._accelerator.reason,
        )

    @contextmanager
    def _part(self, name: str) -> Generator[None]:
        say(f"{self._kernel.name}: {name} ...")
        start = time.monotonic()
        try:
            yield
        finally:
            seconds = round(time.monotonic() - start, 1)
            self._record.parts_seconds[name] = seconds
            say(f"{self._kernel.name}: {name}: {seconds:.0f} s")

    @contextmanager
    def machine(self) -> Generator[Machine]:
        """Lay a disk with the checkout and what its tests need, boot it, and keep its console."""
        self._say_accelerator(self._accelerator)
        directory = self._place.run
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        try:
            with self._part("disk"):
                lay_disk(
                    self._root,
                    self._boot.disk,
                    self._place.checkout,
                    what_travels(self._box.name),
                )
            with contextlib.ExitStack() as stack:
                with self._part("boot"):
                    machine = stack.enter_context(
                        running_machine(
                            f"kernel {self._kernel.name}",
                            self._boot,
                            key=self._key,
                            accelerator=self._accelerator,
                            shape=self._shape,
                            directory=directory,
                        )
                    )
                yield machine
        finally:
            self._results.mkdir(parents=True, exist_ok=True)
            for name in ("disk.log", "console.log", "qemu.log"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(directory / name, self._results / name)
            shutil.rmtree(directory, ignore_errors=True)

    def _say_accelerator(self, accelerator: Accelerator) -> None:
        say(
            f"{self._kernel.name}: {self._record.release}, {accelerator.name}: {accelerator.reason}"
        )

    def test(self, choice: str) -> int:
        """Run the tests, and give the exit status of the whole.

        Parameters
        ----------
        choice
            What ``vagrant/test`` takes as ``VM_TESTS``.
        """
        shutil.rmtree(self._results, ignore_errors=True)
        self._results.mkdir(parents=True)
        start = time.monotonic()
        try:
            with self.machine() as machine:
                try:
                    failed = self._run_tests(machine, choice)
                finally:
                    self._fetch(machine)
                if not machine.power_off():
                    say(f"{self._kernel.name}: it did not power off, and was ended")
            results = read_results(self._results)
            self._record.status = 0 if results.are_good and not failed else 1
        except VmError as error:
            self._record.error = str(error)
            raise
        except KeyboardInterrupt:
            self._record.error = "interrupted"
            raise
        finally:
            self._record.seconds = round(time.monotonic() - start, 1)
            text = json.dumps(asdict(self._record), indent=2) + "\n"
            (self._results / "run.json").write_text(text, encoding="utf-8")
        return self._record.status

    def _run_tests(self, machine: Machine, choice: str) -> bool:
        entry = f"VM_TESTS={shlex.quote(choice)} /vagrant/vagrant/test"
        with self._part("tests"):
            failed = machine.run(f"{entry} before-reboot", TESTS_SECONDS) != 0
        if choice not in {"", "all", "vm"}:
            return failed  # what a reboot undoes is done by tests that may not be among the chosen
        with self._part("reboot"):
            machine.reboot(self._shape.boot_seconds)
        with self._part("tests after it"):
            return machine.run(f"{entry} after-reboot", TESTS_SECONDS) != 0 or failed

    def _fetch(self, machine: Machine) -> None:
        """Bring out what there is; a machine that is lost has told why already."""
        out = "root@127.0.0.1:/vagrant/build/vm/out/"
        machine.ask("journalctl --no-pager >/vagrant/build/vm/out/journal-at-the-end.txt")
        try:
            machine.copy(out, f"{self._results}/", seconds=COPY_SECONDS)
        except MachineError as error:
            say(f"{self._kernel.name}: no results came out: {error}")

    def shell(self) -> int:
        """Give a person a shell in the machine, and end it with the shell."""
        with self.machine() as machine:
            say("the machine ends with this shell; the checkout is in /vagrant")
            return subprocess.run(machine.ssh("-t", "root@127.0.0.1"), check=False).returncode


def report(kernel: str, place: Place) -> str:
    """Say in a few lines what came of a run."""
    results = read_results(place.results(kernel))
    lines = [
        f"{kernel}: {group.name}: {_tell(group.passed, group.failed)}" for group in results.groups
    ]
    lines += [f"{kernel}: {name}: left out: {why}" for name, why in results.left_out.items()]
    lines += [f"{kernel}: {reason}" for reason in results.broken_off]
    return "\n".join([*lines, f"{kernel}: all of it in {place.results(kernel)}"])


def _tell(passed: int, failed: list[str]) -> str:
    return f"{passed} passed" + (f", {len(failed)} FAILED: {', '.join(failed)}" if failed else "")


def write_table(matrix: Matrix, place: Place) -> Path:
    """Write the table of what is known of every kernel, in ``matrix.md``."""
    runs: dict[str, dict[str, object]] = {}
    results: dict[str, Results | None] = {}
    for name in matrix.kernels:
        directory = place.results(name)
        record = directory / "run.json"
        runs[name] = json.loads(record.read_text("utf-8")) if record.exists() else {}
        found = read_results(directory)
        results[name] = found if found.groups or found.broken_off else None
    path = place.root / "results" / "matrix.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(table(runs, results), encoding="utf-8")
    return path
