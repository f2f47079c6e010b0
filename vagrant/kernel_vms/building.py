# SPDX-License-Identifier: MIT
"""How is a box made from Debian's packages, without loop devices, and what if that is interrupted?

Two steps, each of which leaves a stamp: ``root`` unpacks and installs, with every kernel;
``customise`` makes a machine of it. A build goes on after the last step that ended, in a
working directory that belongs to one key: the hash of all that goes into the box. Another key
starts over. What a step mounts, it mounts in a namespace that ends with it.

A box is that root; a disk is laid for each machine, with what is tested on it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from kernel_vms.commands import IN_ITS_OWN_MOUNTS, digest_inputs, missing_tools, run_step, say
from kernel_vms.errors import BuildError
from kernel_vms.matrix import CHECKOUT, Box, Kernel, Place

CUSTOMISE = CHECKOUT / "vagrant" / "customise-root"
LAY_DISK = CHECKOUT / "vagrant" / "lay-disk"
BOX_FILE = CHECKOUT / "vagrant" / "box.Vagrantfile"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "ssh-keygen": "openssh-client",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "zstd": "zstd",
}
DISK_TOOLS = {"mke2fs": "e2fsprogs", "rsync": "rsync"}
IMAGE_TOOLS = {"qemu-img": "qemu-utils"}
NEEDED_BYTES = 8 << 30
DISK_BYTES = 8 << 30
STEP_SECONDS = 900.0
DOCUMENTATION = ("doc", "locale", "man", "info")
OUR_DOCUMENTATION = ("doc/resonance*", "man/man?/resonance*")
"""Stays: the packages are to be whole, and an operator reads it."""
# Only what a machine of ours boots from: a small archive is unpacked in a second, emulated too.
INITRD = "MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\nRESUME=none\n"
INITRD_MODULES = "virtio_blk\nvirtio_net\nvirtio_pci\nvirtio_rng\next4\n"


@dataclass(frozen=True, slots=True)
class BoxRecord:
    """What a box says of itself, in ``box.json``."""

    box: str
    key: str
    built: str
    kernels: dict[str, str]
    packages_sha256: str
    build_seconds: dict[str, float] = field(default_factory=dict[str, float])


def box_key(box: Box) -> str:
    """Hash all that decides what is in a box."""
    kernels = tuple(replace(kernel, seen="") for kernel in box.kernels)  # decides nothing
    said = json.dumps(asdict(replace(box, kernels=kernels)), sort_keys=True).encode()
    return hashlib.sha256(said + digest_inputs((CUSTOMISE, Path(__file__)))).hexdigest()


def read_record(place: Place, box: str) -> BoxRecord | None:
    """Give what a box that is made says of itself; nothing when it is not made."""
    directory = place.box(box)
    try:
        record = BoxRecord(**json.loads((directory / "box.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    files = ["root", "key", "key.pub"]
    files += [f"{kind}-{kernel}" for kernel in record.kernels for kind in ("vmlinuz", "initrd")]
    return record if all((directory / name).exists() for name in files) else None


def check_host(directory: Path) -> None:
    """Say what is missing for a build, before it takes any time."""
    if os.geteuid() != 0:
        raise BuildError("box", "a root file system is made by root: run it with sudo")
    if missing := missing_tools(TOOLS):
        raise BuildError("box", missing)
    if not Path(KEYRING).exists():
        raise BuildError("box", f"no {KEYRING}: apt-get install debian-archive-keyring")
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free
    if free < NEEDED_BYTES:
        have, need = (f"{size / (1 << 30):.1f} GiB" for size in (free, NEEDED_BYTES))
        raise BuildError("box", f"{have} are free in {directory}, a build needs {need}")


def source_lines(suites: Sequence[str]) -> str:
    """Say where the suites are to be had: where apt on this machine has its own from.

    Parameters
    ----------
    suites
        Of Debian; those that end with ``-security`` are kept apart from the others.
    """
    told = subprocess.run(
        ("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    sites: dict[bool, str] = {}
    for line in told.stdout.splitlines():
        site, _, release = line.partition(" ")
        sites.setdefault(release.endswith("-security"), site)
    wanted = {suite: suite.endswith("-security") for suite in suites}
    if not sites.keys() >= set(wanted.values()):
        raise BuildError("root", "apt knows no Debian archive here, or not its security updates")
    return "".join(
        f"deb [signed-by={KEYRING}] {sites[is_security]} {suite} main\n"
        for suite, is_security in wanted.items()
    )


class Build:
    """One build of one box, as far as it has come.

    Parameters
    ----------
    box
        What to make.
    place
        Where to put it.
    """

    def __init__(self, box: Box, place: Place) -> None:
        self._box = box
        self._key = box_key(box)
        self._directory = place.box(box.name)
        self._work = self._directory / "work"
        self._root = self._work / "root"
        self._log = self._work / "build.log"
        self._seconds: dict[str, float] = {}

    def run(self) -> BoxRecord:
        """Do the steps that are not done yet, and put the box where machines look for it."""
        check_host(self._directory)
        self._begin()
        self._step("root", self._make_root)
        self._step("customise", self._customise)
        return self._finish()

    def _begin(self) -> None:
        """Go on where the last build of this key stopped; throw away that of another."""
        key = self._work / "key"
        if not key.exists() or key.read_text(encoding="ascii") != self._key:
            shutil.rmtree(self._work, ignore_errors=True)
            self._work.mkdir()
            key.write_text(self._key, encoding="ascii")

    def _step(self, name: str, do: Callable[[], None]) -> None:
        stamp = self._work / f"{name}.done"
        if stamp.exists():
            self._seconds[name] = float(stamp.read_text(encoding="ascii"))
            say(f"{self._box.name}: {name}: done before")
            return
        say(f"{self._box.name}: {name} ...")
        start = time.monotonic()
        do()
        self._seconds[name] = round(time.monotonic() - start, 1)
        stamp.write_text(str(self._seconds[name]), encoding="ascii")
        say(f"{self._box.name}: {name}: {self._seconds[name]:.0f} s")

    def _run(self, step: str, *command: str) -> None:
        run_step(step, command, self._log, STEP_SECONDS)

    def _make_root(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir()
        sources = self._work / "sources.list"
        sources.write_text(source_lines(self._box.suites), encoding="ascii")
        self._run(
            "root",
            *IN_ITS_OWN_MOUNTS,
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            "--format=directory",
            '--aptopt=Acquire::Languages "none"',
            '--aptopt=Acquire::Retries "3"',
            "--dpkgopt=force-unsafe-io",
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in DOCUMENTATION),
            *(f"--dpkgopt=path-include=/usr/share/{name}" for name in OUR_DOCUMENTATION),
            f"--setup-hook={self._initrd_settings()}",
            f"--include={','.join(self._box.packages)}",
            *(f"--customize-hook={_install(kernel)}" for kernel in self._box.kernels),
            self._box.name,
            str(self._root),
            str(sources),
        )

    @staticmethod
    def _initrd_settings() -> str:
        """Write what initrds are made of before the first one is."""
        return (
            'mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"'
            f' && printf %s {shlex.quote(INITRD)} > "$1/etc/initramfs-tools/conf.d/vm"'
            f" && printf %s {shlex.quote(INITRD_MODULES)}"
            ' > "$1/usr/share/initramfs-tools/modules.d/vm"'
        )

    def _customise(self) -> None:
        """Make a machine of the root, with a key of this build that lets us in."""
        key = self._work / "ssh-key"
        if not key.exists():
            self._run("customise", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        self._run("customise", str(CUSTOMISE), str(self._root), f"{key}.pub")

    def _finish(self) -> BoxRecord:
        """Replace the box that was here, whose record goes first and comes last."""
        record_file = self._directory / "box.json"
        record = BoxRecord(
            box=self._box.name,
            key=self._key,
            built=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            kernels={kernel.name: self._release(kernel) for kernel in self._box.kernels},
            packages_sha256=self._packages_hash(),
            build_seconds=self._seconds,
        )
        record_file.unlink(missing_ok=True)
        for name, release in record.kernels.items():
            for ours, theirs in (("vmlinuz", "vmlinuz"), ("initrd", "initrd.img")):
                booted = self._root / "boot" / f"{theirs}-{release}"
                shutil.copyfile(booted, self._directory / f"{ours}-{name}")
        shutil.copyfile(self._root / "var/lib/dpkg/status", self._directory / "packages.txt")
        shutil.rmtree(self._directory / "root", ignore_errors=True)
        for name, now in (("ssh-key", "key"), ("ssh-key.pub", "key.pub"), ("root", "root")):
            (self._work / name).replace(self._directory / now)
        part = record_file.with_suffix(".part")
        part.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
        part.replace(record_file)
        shutil.rmtree(self._work)
        return record

    def _release(self, kernel: Kernel) -> str:
        """Say which release a metapackage has brought."""
        releases = [
            path.name.removeprefix("vmlinuz-") for path in self._root.glob("boot/vmlinuz-*")
        ]
        fitting = sorted(name for name in releases if name.startswith(kernel.release))
        if not fitting:
            found = ", ".join(sorted(releases)) or "none"
            reason = f"{kernel.suite} brought no kernel {kernel.release}*, but {found}"
            raise BuildError("root", f"{reason}; mend kernels.toml")
        return fitting[-1]

    def _packages_hash(self) -> str:
        status = self._root / "var/lib/dpkg/status"
        return hashlib.sha256(status.read_bytes()).hexdigest()


def _install(kernel: Kernel) -> str:
    """Install a kernel from its suite, where apt's lists and the mounts are still there."""
    # Named, a suite goes before its own security updates; so only another one is named.
    suite = "" if kernel.suite == kernel.box else f"-t {kernel.suite} "
    wanted = f"--no-install-recommends {suite}{shlex.join(kernel.packages)}"
    return f'chroot "$1" apt-get install -qq -y {wanted}'


def build_box(box: Box, place: Place, *, fresh: bool = False) -> BoxRecord:
    """Make a box, unless the one that is there is made of the same.

    Parameters
    ----------
    box
        What to make.
    place
        Where it goes.
    fresh
        Make it anew in any case, as to get the kernels of today.
    """
    record = read_record(place, box.name)
    if record and record.key == box_key(box) and not fresh:
        return record
    if fresh:
        shutil.rmtree(place.box(box.name) / "work", ignore_errors=True)
    return Build(box, place).run()


def lay_disk(
    root: Path, disk: Path, checkout: Path | None = None, filters: Sequence[str] = ()
) -> None:
    """Lay the disk of a machine; what it says goes to a log beside it.

    Parameters
    ----------
    root
        A box's.
    disk
        The file to make, in a directory of its own.
    checkout
        What is to lie in ``/vagrant`` and to be installed; nothing when left out.
    filters
        Of rsync: what of it.

    Raises
    ------
    BuildError
        With the end of the log.
    """
    if missing := missing_tools(DISK_TOOLS):
        raise BuildError("disk", missing)
    given = () if checkout is None else (str(checkout), *filters)
    command = (*IN_ITS_OWN_MOUNTS, str(LAY_DISK), str(root), str(disk), str(DISK_BYTES), *given)
    try:
        run_step("disk", command, disk.parent / "disk.log", STEP_SECONDS)
    finally:
        shutil.rmtree(disk.parent / "layer", ignore_errors=True)


def pack_for_vagrant(kernel: Kernel, record: BoxRecord, place: Place) -> Path:
    """Pack a box for ``vagrant box add``: with its kernel, so its disk needs no boot loader."""
    if missing := missing_tools(IMAGE_TOOLS):
        raise BuildError("image", missing)
    directory = place.box(record.box)
    packed = directory / f"resonance-{kernel.name}.box"
    part = packed.with_suffix(".part")
    work = directory / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    lay_disk(directory / "root", work / "disk.raw")
    convert = ("qemu-img", "convert", "-O", "qcow2", str(work / "disk.raw"), str(work / "box.img"))
    run_step("image", convert, work / "image.log", STEP_SECONDS)
    size = DISK_BYTES >> 30
    about = {"provider": "libvirt", "format": "qcow2", "virtual_size": size}
    metadata = work / "metadata.json"
    metadata.write_text(json.dumps(about), encoding="ascii")
    members = {
        "metadata.json": metadata,
        "Vagrantfile": BOX_FILE,
        "box.img": work / "box.img",
        "vmlinuz": directory / f"vmlinuz-{kernel.name}",
        "initrd": directory / f"initrd-{kernel.name}",
        "key": directory / "key",
    }
    with tarfile.open(part, "w") as tar:
        for name, path in members.items():
            tar.add(path, name)
    part.replace(packed)
    shutil.rmtree(work)
    return packed
