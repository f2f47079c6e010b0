# SPDX-License-Identifier: MIT
"""Do the packages install, upgrade and purge as a Debian package should, with nothing left?"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vm import machine
from vm.machine import UNIT, eventually, run

CHECKOUT = Path(__file__).parents[2]
NAMES = ("resonance", "resonanced")
TREES = ("/etc", "/opt", "/srv", "/usr", "/var")
THEIRS = (
    "/etc/.pwd.lock",
    "/etc/group",
    "/etc/gshadow",
    "/etc/ld.so.cache",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/subgid",
    "/etc/subuid",
    "/usr/lib/python3/dist-packages/__pycache__",
    "/var/backups/",
    "/var/cache/",
    "/var/lib/apt/",
    "/var/lib/dpkg/",
    "/var/lib/systemd/timers/",
    "/var/log/",
    "/var/tmp/systemd-private-",
)
"""What other programs, and apt itself, write whatever is installed."""
EARLIER, GONE = "0.0.1-1", "gone.py"
OURS = ("/etc/resonance-vm", "/opt/resonance-tests", "/var/lib/resonance-vm-test", sys.prefix)
"""Of the tests, and of the machine that was made for them."""


def _debs(directory: Path) -> list[str]:
    found = [sorted(directory.glob(f"{name}_*.deb")) for name in NAMES]
    return [str(paths[-1]) for paths in found if paths]


def _suite() -> str:
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    return text.partition("VERSION_CODENAME=")[2].splitlines()[0]


BUILT = CHECKOUT / "build" / "deb" / _suite()


def _apt(*words: str) -> str:
    # Nothing is fetched: there is no network, and what is wanted lies here.
    options = (
        "-o",
        "Acquire::http::Proxy=http://127.0.0.1:9",
        "-o",
        "Dpkg::Options::=--force-confold",
    )
    script = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", *options, *words)
    return run(*script).stdout


def _version(name: str) -> str:
    query = ("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Version}", name)
    status, _, version = run(*query, ok=(0, 1)).stdout.partition(" ")
    return version if status == "ii" else ""


def _files() -> set[str]:
    """Return every path that a package could leave; what changes by itself is left out."""
    found: set[str] = set()
    for tree in TREES:
        for directory, directories, names in os.walk(tree):
            paths = {f"{directory}/{name}" for name in (*directories, *names)}
            found |= {path for path in paths if not path.startswith((*THEIRS, *OURS))}
    return {path for path in found if not path.endswith((".pyc", "/__pycache__"))}


def _ours() -> list[str]:
    """Return what carries our name in places where a purge may leave something."""
    accounts = [f"user {each.pw_name}" for each in pwd.getpwall() if "resonance" in each.pw_name]
    accounts += [f"group {each.gr_name}" for each in grp.getgrall() if "resonance" in each.gr_name]
    places = ("/run/resonance*", "/sys/fs/bpf/resonance*", "/etc/systemd/system/**/*resonance*")
    paths = [str(path) for place in places for path in Path("/").glob(place[1:])]
    units = run("systemctl", "list-unit-files", "--no-legend", "--plain").stdout.splitlines()
    units += run("systemctl", "list-units", "--all", "--no-legend", "--plain").stdout.splitlines()
    named = [line for line in units if "resonance" in line and "resonance-test-" not in line]
    return [*accounts, *paths, *named]


@pytest.fixture(scope="module", autouse=True)
def installed_at_the_end() -> Iterator[None]:
    """Later tests need the packages, whatever became of them here."""
    assert _debs(BUILT), f"no packages in {BUILT}"
    yield
    _apt("install", "--reinstall", "--allow-downgrades", *_debs(BUILT))
    run("systemctl", "stop", UNIT)
    run("systemctl", "reset-failed", UNIT)


def test_the_installed_packages_are_whole_and_of_one_version() -> None:
    assert _version("resonanced") == _version("resonance") != ""
    for name in NAMES:
        changed = run("dpkg", "--verify", name, ok=(0, 1)).stdout.splitlines()
        assert [line for line in changed if "__pycache__" not in line] == []
    run("dpkg", "--audit")
    verified = run("systemd-analyze", "verify", "--man=no", UNIT)
    assert "resonance" not in verified.stderr


@pytest.fixture
def previous(tmp_path: Path) -> list[str]:
    """Give the packages as an earlier release had them, with a module that is no more."""
    made: list[str] = []
    for package in map(Path, _debs(BUILT)):
        name, _, _ = package.name.partition("_")
        tree = tmp_path / name
        run("dpkg-deb", "--raw-extract", str(package), str(tree))
        control = tree / "DEBIAN" / "control"
        text = control.read_text(encoding="utf-8")
        control.write_text(text.replace(_version_of(str(package)), EARLIER), encoding="utf-8")
        (tree / "usr/lib" / name / GONE).write_text("GONE = True\n", encoding="utf-8")
        made.append(str(tmp_path / f"{name}_{EARLIER}.deb"))
        # Not compressed: emulated, that takes minutes.
        run("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), made[-1])
        shutil.rmtree(tree)
    return made


def test_an_upgrade_restarts_a_running_service_and_keeps_the_operators_file(
    previous: list[str],
) -> None:
    wanted = '[service]\nlog_level = "debug"\n'
    _apt("install", "--allow-downgrades", *previous)
    assert {_version(name) for name in NAMES} == {EARLIER}
    with machine.running(wanted):
        before = machine.processes()
        _apt("install", *_debs(BUILT))
        assert {_version(name) for name in NAMES} == {_version_of(_debs(BUILT)[-1])}
        assert list(Path("/usr/lib").glob(f"resonance*/{GONE}")) == []
        assert eventually(machine.is_active)
        assert eventually(lambda: machine.health() == 200)
        after = machine.processes()
        assert not set(after.values()) & set(before.values()), "the old one still runs"
        assert machine.CONFIG.read_text(encoding="utf-8") == wanted
        assert len(list(machine.PINS.iterdir())) == 1
        metrics = machine.scrape()
        (built,) = machine.labels_of(metrics, "resonance_build_info")
        assert _version("resonanced").startswith(built["version"])


def _version_of(package: str) -> str:
    return run("dpkg-deb", "--field", package, "Version").stdout.strip()


def test_a_purge_leaves_nothing_and_an_install_brings_all_of_it_again(tmp_path: Path) -> None:
    """What was applied goes with it too: nobody would be left to take it back."""
    everything = _files()
    with machine.cgroup("resonance-test-hogs") as hogs:
        run("systemctl", "start", UNIT)
        machine.asked("resonanced", "apply", "balanced", "--batch", f"/{hogs.name}")
        assert machine.read(hogs / "cpu.idle") == "1"
        assert machine.is_active()

        _apt("purge", *NAMES)
        assert machine.read(hogs / "cpu.idle") == "0"
    assert [_version(name) for name in NAMES] == ["", ""]
    assert machine.health() == 0
    assert _ours() == []
    without = _files()
    assert {path for path in without if "resonance" in path} == set()
    assert without - everything == set(), "a purge made something"

    _apt("install", *_debs(BUILT))
    assert _files() ^ everything == set()
    run("systemctl", "start", UNIT)
    assert machine.health() == 200
    assert "active (running)" in run("systemctl", "status", "--no-pager", UNIT).stdout
    run("systemctl", "stop", UNIT)
