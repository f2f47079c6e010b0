# SPDX-License-Identifier: MIT
"""How is a machine started, and can this host accelerate it?

A file ``/dev/kvm`` proves nothing: where the host is a guest itself it may be there and boot no
kernel. So a probe boots one, for ten seconds at most; ``VM_ACCEL=kvm|tcg`` says it instead.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernel_vms.commands import DIES_WITH_US, tail
from kernel_vms.errors import MachineError

QEMU = "qemu-system-x86_64"
KVM = Path("/dev/kvm")
PROBE_SECONDS = 10.0
BOOTED = "Run /init as init process"
# What QEMU 7.2 emulates wrongly is left out. With several threads a processor may run code that
# another has just patched: kernels 7 ended in an int3 of their own. Of AVX2 it is the gathers:
# numpy sorted wrong, and crashed. A processor with AVX2 alone taken away is one that never was,
# and libraries took what it did not have: so it is a model from before.
ACCELERATORS = {
    "kvm": ("-accel", "kvm", "-cpu", "host"),
    "tcg": ("-accel", "tcg,thread=single", "-cpu", "Nehalem"),
}


@dataclass(frozen=True, slots=True)
class Boot:
    """What is booted: a kernel, its first root, and a disk of the machine's own."""

    vmlinuz: Path
    initrd: Path
    disk: Path


@dataclass(frozen=True, slots=True)
class Accelerator:
    """How fast a machine will be, and how we know."""

    name: str
    reason: str


def choose_accelerator(
    boot: Boot, environment: Mapping[str, str] = os.environ, device: Path = KVM
) -> Accelerator:
    """Take what the operator says, else KVM where it boots a kernel.

    Raises
    ------
    MachineError
        When ``VM_ACCEL`` is neither ``kvm`` nor ``tcg``.
    """
    said = environment.get("VM_ACCEL", "")
    if said:
        if said not in ACCELERATORS:
            raise MachineError("VM_ACCEL", f"{said!r} is neither kvm nor tcg")
        return Accelerator(said, "VM_ACCEL says so")
    if not os.access(device, os.R_OK | os.W_OK):
        return Accelerator("tcg", f"{device} cannot be opened")
    if why := why_kvm_fails(boot):
        return Accelerator("tcg", f"KVM was tried: {why}")
    return Accelerator("kvm", "KVM was tried: it boots this kernel")


def why_kvm_fails(boot: Boot, seconds: float = PROBE_SECONDS) -> str:
    """Boot the kernel with KVM up to its first process; give what went wrong, or nothing."""
    with tempfile.TemporaryDirectory(prefix="resonance-kvm-") as name:
        console, complaints = Path(name, "console"), Path(name, "complaints")
        command = [
            *(QEMU, "-machine", "q35", *ACCELERATORS["kvm"], "-m", "512", "-no-reboot"),
            *("-display", "none", "-monitor", "none", "-serial", f"file:{console}"),
            *("-kernel", str(boot.vmlinuz), "-initrd", str(boot.initrd)),
            *("-append", "console=ttyS0 panic=-1"),
        ]
        with complaints.open("wb") as said:
            process = start(command, said.fileno())
            try:
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    if BOOTED in tail(console, 400):
                        return ""
                    if process.poll() is not None:
                        last = tail(complaints, 1).rpartition(": ")[2] or "it said nothing"
                        return f"QEMU ended with {process.returncode}: {last}"
                    time.sleep(0.1)
                return f"no kernel booted in {seconds:.0f} s"
            finally:
                process.kill()
                process.wait()


def start(command: Sequence[str], said: int) -> subprocess.Popen[bytes]:
    """Start QEMU, out of reach of the terminal's Ctrl-C: whoever started it ends it."""
    return subprocess.Popen(
        [*DIES_WITH_US, *command],
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        start_new_session=True,
    )


def machine_command(
    boot: Boot,
    *,
    accelerator: Accelerator,
    console: Path,
    port: int,
    cpus: int,
    memory: int,
) -> list[str]:
    """Give QEMU's command for a machine that has no way out, and ssh on a port of this host.

    Parameters
    ----------
    boot
        What to boot.
    accelerator
        How.
    console
        The file its console goes to.
    port
        On 127.0.0.1, for its ssh.
    cpus
        How many.
    memory
        In MiB.
    """
    append = ["root=/dev/vda rw console=ttyS0 net.ifnames=0 panic=10"]
    if accelerator.name == "tcg":
        # An emulated processor speculates nothing; its clock is the one of this host, which the
        # kernel would not trust, and each reading of the one it takes instead is a trip outside.
        append.append("mitigations=off tsc=reliable")
    return [
        *(QEMU, "-machine", "q35", *ACCELERATORS[accelerator.name]),
        *("-smp", str(cpus), "-m", str(memory)),
        *("-display", "none", "-monitor", "none", "-serial", f"file:{console}"),
        *("-kernel", str(boot.vmlinuz), "-initrd", str(boot.initrd), "-append", " ".join(append)),
        *("-drive", f"file={boot.disk},format=raw,if=virtio,cache=unsafe"),
        *("-object", "rng-random,filename=/dev/urandom,id=rng0"),
        *("-device", "virtio-rng-pci,rng=rng0"),
        *("-netdev", f"user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"),
        *("-device", "virtio-net-pci,netdev=net0,romfile="),
    ]


def free_port() -> int:
    """Give a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
