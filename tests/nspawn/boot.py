# SPDX-License-Identifier: MIT
"""A container whose root is this host's, with a layer of memory on top; it ends with its owner.

``boot.py CHECKOUT CONSOLE`` makes the layer, puts the checkout's service into it as a package
would, boots systemd in it and prints the pid of its first process. It ends the container, and
removes what it made, when its standard input closes: so also when who started it was killed.

Mounts are made in a mount namespace of this process, which takes them along when it ends; in
there `/run` is its own too, since systemd-nspawn leaves directories in it.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Final

NAME: Final = "resonance-test-nspawn"
CHECKOUT: Final = "/opt/resonance-test/checkout"
HOME: Final = "/opt/resonance-test/python"
"""What the host would have there is nobody's: an installation with pip is beside it."""
_ROOT: Final = Path("/run/root")
_BOOT_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 8.0
_CLONE_NEWNS: Final = 0x00020000
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_UNITS: Final = "usr/lib/systemd/system"
_PLACES: Final = {
    "resonanced.service": _UNITS,
    "resonance.sysusers.conf": "usr/lib/sysusers.d/resonance.conf",
    "resonance.tmpfiles.conf": "usr/lib/tmpfiles.d/resonance.conf",
}
"""Where a package installs what lies in the folder ``systemd``."""
_NOT_OF_THE_HOST: Final = (
    f"{_UNITS}/resonanced.service.d",
    "etc/resonance",
    "etc/systemd/system/resonanced.service",
    "etc/systemd/system/resonanced.service.d",
    "var/log/journal",
)
"""What an installed Resonance, and a booted systemd, would have there."""


def main() -> int:
    """Boot, say so, wait until nobody holds us any more, and clean up."""
    checkout, console = Path(sys.argv[1]), Path(sys.argv[2])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    with ExitStack() as stack:
        for cgroup in _own_cgroups():
            stack.callback(_remove_cgroup, cgroup)
        _mount_privately()
        _prepare(_ROOT / "merged", checkout)
        nspawn = _start(checkout, console)
        stack.callback(_stop, nspawn)
        sys.stdout.write(f"{_first_process(nspawn)}\n")
        sys.stdout.flush()
        while nspawn.poll() is None:
            if select.select([sys.stdin], [], [], 1.0)[0] and not os.read(sys.stdin.fileno(), 1):
                return 0
    return 1


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _own_cgroups() -> Iterator[Path]:
    """Move into a cgroup of our own where systemd-nspawn makes some, and give each."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in {"", "name=systemd"}:
            continue
        for _, point, kind, options, *_ in mounts:
            is_v2 = kind == "cgroup2" and not controllers
            if is_v2 or (kind == "cgroup" and "name=systemd" in options and controllers):
                parent = Path(point, path.lstrip("/"))
                _sweep(parent)
                own = parent / f"{NAME}-{os.getpid()}"
                own.mkdir()
                yield own
                (own / "cgroup.procs").write_text(str(os.getpid()))
                break


def _sweep(parent: Path) -> None:
    """Remove the cgroups of those before us who could not do it themselves."""
    for left in parent.glob(f"{NAME}-*"):
        if not Path("/proc", left.name.rpartition("-")[2]).exists():
            _remove_cgroup(left)


def _remove_cgroup(cgroup: Path) -> None:
    """Leave a cgroup and remove it and those below; the last of its tasks may still be going."""
    (cgroup.parent / "cgroup.procs").write_text(str(os.getpid()))
    deadline = time.monotonic() + _STOP_SECONDS
    while cgroup.exists() and time.monotonic() < deadline:
        for directory, _, _ in os.walk(cgroup, topdown=False):
            with suppress(OSError):
                Path(directory).rmdir()
        time.sleep(0.02)


def _mount_privately() -> None:
    if _LIBC.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    if _LIBC.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "mount --make-rprivate /")
    # Before `/run` is hidden: what lies there is not the container's.
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for name in ("upper", "work", "merged"):
        (_ROOT / name).mkdir(parents=True)
    layers = f"lowerdir=/,upperdir={_ROOT}/upper,workdir={_ROOT}/work"
    _run("mount", "-t", "overlay", "-o", layers, "overlay", str(_ROOT / "merged"))


def _prepare(root: Path, checkout: Path) -> None:
    """Install the service as a package would, and nothing that the host has of it."""
    for name in _NOT_OF_THE_HOST:
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in ("passwd", "group", "shadow", "gshadow"):
        file = root / "etc" / name
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(line for line in lines if not line.startswith("resonance:")))
    for name, place in _PLACES.items():
        target = root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(checkout / "systemd" / name, target / name if target.is_dir() else target)
    _install_package(root, checkout)
    # Nobody has to wait for two seconds to see that it is started again.
    sooner = root / _UNITS / "resonanced.service.d/sooner.conf"
    sooner.parent.mkdir()
    sooner.write_text("[Service]\nRestartSec=100ms\n")
    # Nothing but what is tested takes time, and what is said is kept in memory.
    (root / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
    timers = root / "etc/systemd/system/timers.target"
    timers.unlink(missing_ok=True)
    timers.symlink_to("/dev/null")
    journald = root / "etc/systemd/journald.conf.d/resonance-test.conf"
    journald.parent.mkdir(parents=True, exist_ok=True)
    journald.write_text("[Journal]\nStorage=volatile\nRateLimitBurst=0\nForwardToConsole=no\n")


def _install_package(root: Path, checkout: Path) -> None:
    """Make an interpreter with our packages, wherever the checkout is: homes are out of sight."""
    home = root / HOME.lstrip("/")
    packages = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages /= "site-packages"
    packages.mkdir(parents=True)
    (home / "bin").mkdir()
    base = Path(sys.base_prefix)
    interpreter = base / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    (home / "bin/python").symlink_to(interpreter)
    (home / "pyvenv.cfg").write_text(f"home = {interpreter.parent}\n")
    rooms = [f"{CHECKOUT}/{room}" for room in ("daemon", "bpf", "kernel-tuning", "sdk")]
    installed = Path(sysconfig.get_path("purelib"))
    if installed.is_relative_to(checkout):
        installed = Path(CHECKOUT) / installed.relative_to(checkout)
    (packages / "resonance.pth").write_text("\n".join((*rooms, str(installed))) + "\n")
    command = root / "usr/bin/resonanced"
    command.unlink(missing_ok=True)
    command.write_text(
        f"#!{HOME}/bin/python\n"
        "import sys\n\nfrom resonanced.__main__ import main\n\nsys.exit(main())\n"
    )
    command.chmod(0o755)
    (root / CHECKOUT.lstrip("/")).mkdir(parents=True, exist_ok=True)


def _start(checkout: Path, console: Path) -> subprocess.Popen[bytes]:
    command = ["systemd-nspawn", "--quiet", f"--directory={_ROOT / 'merged'}"]
    command += ["--register=no", "--keep-unit", "--private-network", "--link-journal=no"]
    command += ["--resolv-conf=off", "--timezone=off", "--console=pipe"]
    command += [f"--machine={NAME}-{os.getpid()}", f"--bind-ro={checkout}:{CHECKOUT}"]
    command += ["--boot", "systemd.unit=basic.target", "systemd.log_target=journal"]
    owner = os.getpid()

    def end_with_owner() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != owner:
            os._exit(1)

    return subprocess.Popen(
        command,
        env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        stdin=subprocess.DEVNULL,
        stdout=console.open("wb"),
        stderr=subprocess.STDOUT,
        preexec_fn=end_with_owner,  # noqa: PLW1509 - this process has no threads
    )


def _first_process(nspawn: subprocess.Popen[bytes]) -> int:
    """Return the pid, here, of what is pid 1 in there."""
    deadline = time.monotonic() + _BOOT_SECONDS
    while nspawn.poll() is None and time.monotonic() < deadline:
        for status in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError):
                fields = dict(
                    line.split(":\t", 1)
                    for line in status.read_text().splitlines()
                    if ":\t" in line
                )
                numbers = fields.get("NSpid", "").split()
                if fields["PPid"] == str(nspawn.pid) and len(numbers) > 1 and numbers[-1] == "1":
                    return int(numbers[0])
        time.sleep(0.02)
    raise SystemExit(f"systemd-nspawn did not start a container ({nspawn.poll()})")


def _stop(nspawn: subprocess.Popen[bytes]) -> None:
    """Halt the container, at once if it takes its time; with it go all its processes."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if nspawn.poll() is None:
            nspawn.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                nspawn.wait(_STOP_SECONDS)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
