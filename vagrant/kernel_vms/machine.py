# SPDX-License-Identifier: MIT
"""How is one machine brought up, spoken to, and got rid of whatever happens?"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernel_vms.commands import DIES_WITH_US, tail
from kernel_vms.errors import BootError, MachineError
from kernel_vms.qemu import Accelerator, Boot, free_port, machine_command, start

BOOT_SECONDS = 600.0
ASK_SECONDS = 30.0
POWER_OFF_SECONDS = 60.0
CONSOLE_LINES = 25
LOST = 255
"""With which ssh ends when it is the connection that failed."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a machine is, and how long it may take to come up."""

    cpus: int = 4
    memory: int = 2048
    boot_seconds: float = BOOT_SECONDS


class Machine:
    """A machine that runs, and the ways into it.

    Parameters
    ----------
    name
        What messages call it.
    process
        Its QEMU.
    port
        Where its ssh is.
    key
        What lets us in.
    console
        What it said so far.
    """

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], port: int, key: Path, console: Path
    ) -> None:
        self.name = name
        self._process = process
        self._port = port
        self._key = key
        self.console = console

    def ssh(self, *options: str) -> list[str]:
        """Give the command line of an ssh into it, without the host's name."""
        settings = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "no",  # a machine of ours, on a port of this host
            "UserKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "ConnectTimeout": "10",
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "12",
            "LogLevel": "ERROR",
        }
        given = [word for item in settings.items() for word in ("-o", "=".join(item))]
        config = ("-F", "/dev/null")
        return ["ssh", *config, "-i", str(self._key), "-p", str(self._port), *given, *options]

    def run(self, command: str, seconds: float) -> int:
        """Run a command as root, let it say what it says, and give its exit status.

        Raises
        ------
        MachineError
            When it is not done in time, or the machine is lost.
        """
        try:
            done = subprocess.run(
                [*DIES_WITH_US, *self.ssh("root@127.0.0.1", command)],
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            reason = f"not done in {seconds:.0f} s; the console ends:\n{self.tail()}"
            raise MachineError(command, reason) from None
        if done.returncode == LOST:
            raise MachineError(command, f"the machine is lost; its console ends:\n{self.tail()}")
        return done.returncode

    def ask(self, command: str) -> str | None:
        """Run a short command and give what it said; nothing when there is no answer."""
        try:
            done = subprocess.run(
                [*DIES_WITH_US, *self.ssh("root@127.0.0.1", command)],
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=ASK_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def copy(self, source: str, target: str, *options: str, seconds: float) -> None:
        """Copy by rsync; the machine's side is ``root@127.0.0.1:PATH``."""
        shell = " ".join(self.ssh())
        command = ["rsync", "--archive", *options, "-e", shell, source, target]
        try:
            done = subprocess.run(
                [*DIES_WITH_US, *command],
                check=False,
                capture_output=True,
                text=True,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            raise MachineError(f"copy {source}", f"not done in {seconds:.0f} s") from None
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["rsync said nothing"]
            raise MachineError(f"copy {source}", said[-1])

    def wait_until_up(self, seconds: float, *, since: str = "") -> str:
        """Wait for an ssh of a boot other than ``since``, and give the boot's name.

        Raises
        ------
        BootError
            When QEMU ends, or there is none in time.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._process.poll() is not None:
                reason = f"QEMU ended with {self._process.returncode}"
                raise BootError(self.name, reason, self.tail())
            boot = self.ask("cat /proc/sys/kernel/random/boot_id")
            if boot and boot != since:
                return boot
            time.sleep(1)
        raise BootError(self.name, f"no ssh in {seconds:.0f} s", self.tail())

    def reboot(self, seconds: float) -> None:
        """Boot it again, and wait until it is up."""
        before = self.ask("cat /proc/sys/kernel/random/boot_id")
        if before is None:
            raise MachineError("reboot", "the machine does not answer")
        self.ask("systemctl reboot")
        self.wait_until_up(seconds, since=before)

    def power_off(self) -> bool:
        """Ask it to end, and say whether it did."""
        self.ask("systemctl --no-block poweroff")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(POWER_OFF_SECONDS)
        return self._process.poll() is not None

    def tail(self) -> str:
        """Give the end of what it said on its console."""
        return tail(self.console, CONSOLE_LINES)


@contextmanager
def running_machine(
    name: str,
    boot: Boot,
    *,
    key: Path,
    accelerator: Accelerator,
    shape: Shape,
    directory: Path,
) -> Generator[Machine]:
    """Boot a machine, and leave nothing of it but its console.

    Parameters
    ----------
    name
        What messages call it.
    boot
        What it boots.
    key
        The private key that lets us in.
    accelerator
        How it runs.
    shape
        How large it is.
    directory
        Where its console is written to.

    Raises
    ------
    BootError
        When it does not come up.
    """
    console = directory / "console.log"
    port = free_port()
    command = machine_command(
        boot,
        accelerator=accelerator,
        console=console,
        port=port,
        cpus=shape.cpus,
        memory=shape.memory,
    )
    complaints = directory / "qemu.log"
    with complaints.open("wb") as said:
        process = start(command, said.fileno())
    try:
        machine = Machine(name, process, port, key, console)
        try:
            machine.wait_until_up(shape.boot_seconds)
        except BootError as error:
            if process.poll() is not None and not error.console:
                raise BootError(name, error.reason, tail(complaints)) from None
            raise
        yield machine
    finally:
        process.kill()
        process.wait()
