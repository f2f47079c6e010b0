# SPDX-License-Identifier: MIT
"""A small Debian in a directory, without a network: made, entered, and looked at; asserts nothing.

Whatever is mounted is mounted in a namespace that ends with the command, so there is nothing to
unmount, whatever happens.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias

__all__ = ["CHECKOUT", "SUITES", "Files", "Root", "built", "missing", "packages_of"]

CHECKOUT: Final = Path(__file__).parents[2]
SUITES: Final = {"bookworm": "3.11", "trixie": "3.13"}
"""What packages are made for, and its Python."""

_INCLUDE: Final = "python3,libbpf1,libstdc++6,systemd"
_COMMAND_SECONDS: Final = 120.0
_TOOLS: Final = ("chroot", "dpkg-deb", "ip", "lintian", "mmdebstrap", "tar", "unshare")
_ENTER: Final = """
set -eu
ip link set lo up
mount -t proc proc "$0/proc"
mount -t sysfs -o ro sysfs "$0/sys"
mount -t cgroup2 -o ro none "$0/sys/fs/cgroup"
exec chroot "$0" "$@"
"""
_ENVIRONMENT: Final = {
    "DEBIAN_FRONTEND": "noninteractive",
    "HOME": "/tmp",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
}
_OF_APT_AND_DPKG: Final = (
    "var/cache/apt/",
    "var/cache/debconf/",
    "var/lib/apt/",
    "var/lib/dpkg/",
    "var/log/",
)
_OF_ACCOUNTS: Final = {
    "etc/.pwd.lock",
    *(f"etc/{name}-" for name in ("group", "gshadow", "passwd", "shadow")),
}
"""The lock and the copies that whoever edits accounts makes of the files as they were."""


Files: TypeAlias = dict[str, tuple[object, ...]]
"""Paths below the root, each with all that a package may change of it."""


def missing() -> str:
    """Return why no root can be made here, or nothing when one can."""
    if os.geteuid() != 0:
        return "not root"
    lacking = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


def packages_of(suite: str) -> list[Path]:
    """Return the packages that `make deb` made."""
    return sorted((CHECKOUT / "build" / "deb" / suite).glob("*.deb"))


def built(suite: str) -> Path:
    """Return an archive of a small Debian, made once and kept."""
    archive = CHECKOUT / "build" / "chroots" / f"{suite}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        part = archive.with_suffix(".part.tar")
        command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"]
        subprocess.run([*command, f"--include={_INCLUDE}", suite, part], check=True)
        part.rename(archive)
    return archive


@dataclass(frozen=True)
class Root:
    """A directory with a Debian in it."""

    path: Path

    @classmethod
    def unpack(cls, suite: str, path: Path) -> Self:
        """Unpack one into an empty directory."""
        command = ["tar", "--extract", "--numeric-owner", "--file", str(built(suite))]
        subprocess.run([*command, "--directory", str(path)], check=True)
        # Nothing here outlives the test, so nothing need reach the disk.
        options = path / "etc" / "dpkg" / "dpkg.cfg.d" / "unsafe-io"
        options.write_text("force-unsafe-io\n", encoding="ascii")
        return cls(path)

    def run(
        self, *command: str, environment: dict[str, str] | None = None, may_fail: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it, with namespaces of its own.

        Raises
        ------
        AssertionError
            It failed, and may not.
        """
        unshare = ["unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child"]
        done = subprocess.run(
            [*unshare, "sh", "-c", _ENTER, str(self.path), *command],
            check=False,
            capture_output=True,
            env={**_ENVIRONMENT, **(environment or {})},
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_COMMAND_SECONDS,
        )
        assert may_fail or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def install(self, *packages: Path) -> str:
        """Install packages as an operator does, from files; return what apt said."""
        place = self.path / "debs"
        place.mkdir()
        try:
            for package in packages:
                shutil.copy(package, place)
            names = [f"/debs/{package.name}" for package in packages]
            return self.run("apt-get", "install", "--yes", *names).stdout
        finally:
            shutil.rmtree(place)

    def purge(self) -> str:
        """Purge both; return what apt said."""
        return self.run("apt-get", "purge", "--yes", "resonanced", "resonance").stdout

    def files(self) -> Files:
        """Return every file but those of apt and dpkg."""
        return dict(self._files())

    def _files(self) -> Iterator[tuple[str, tuple[object, ...]]]:
        for directory, folders, names in os.walk(self.path):
            for name in (*folders, *names):
                path = Path(directory, name)
                short = str(path.relative_to(self.path))
                if not short.startswith(_OF_APT_AND_DPKG) and short not in _OF_ACCOUNTS:
                    yield short, _describe(path)


def _describe(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    owned = (oct(status.st_mode), status.st_uid, status.st_gid)
    if stat.S_ISLNK(status.st_mode):
        return (*owned, os.readlink(path))
    if stat.S_ISREG(status.st_mode):
        return (*owned, hashlib.sha256(path.read_bytes()).hexdigest())
    return owned


if __name__ == "__main__":
    why = missing()
    print(why)
    sys.exit(1 if why else 0)
