# SPDX-License-Identifier: MIT
"""Installed, upgraded, removed, purged: is the system afterwards as it was before?"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from packages.root import Files, Root

pytestmark = pytest.mark.timeout(600)  # the first to ask makes the root

CONFIGURATION = "etc/resonance/resonanced.toml"
EARLIER = "0.0.1-1"
RECORDER = '#!/bin/sh\necho "$*" >>/tmp/called\nexit %d\n'


@pytest.fixture(scope="session")
def previous(packages: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Give the packages as an earlier release had them, with a module that is no more."""
    made: list[Path] = []
    for package in packages:
        name, _, _ = package.name.partition("_")
        tree = tmp_path_factory.mktemp("previous") / name
        _run("dpkg-deb", "--raw-extract", package, tree)
        control = tree / "DEBIAN" / "control"
        text = control.read_text(encoding="utf-8")
        control.write_text(text.replace(_version(package), EARLIER), encoding="utf-8")
        (tree / "usr/lib" / name / "gone.py").write_text("GONE = True\n", encoding="utf-8")
        made.append(tree.with_name(f"{name}_{EARLIER}.deb"))
        _run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, made[-1])
        shutil.rmtree(tree)
    return made


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _version(package: Path) -> str:
    return _run("dpkg-deb", "--field", package, "Version")


def _ours(root: Root) -> list[str]:
    return sorted(name for name in root.files() if "resonance" in name)


def _difference(before: Files, after: Files) -> dict[str, object]:
    names = before.keys() | after.keys()
    return {
        name: (before.get(name), after.get(name))
        for name in sorted(names)
        if before.get(name) != after.get(name)
    }


def test_purged_after_use_they_leave_nothing(fresh: Root, packages: list[Path]) -> None:
    before = fresh.files()
    fresh.install(*packages)
    fresh.run("resonanced", "run", "--backend", "none", "--for", "1")
    fresh.run("/usr/lib/resonanced/bin/python3", "-I", "-c", "import resonance, numpy.fft")
    assert _ours(fresh)
    fresh.purge()
    assert _difference(before, fresh.files()) == {}


def test_an_upgrade_replaces_all_but_what_the_operator_wrote(
    fresh: Root, previous: list[Path], packages: list[Path]
) -> None:
    before = fresh.files()
    fresh.install(*previous)
    assert list(fresh.path.glob("usr/lib/resonance*/gone.py"))
    (fresh.path / CONFIGURATION).write_text("[service]\nlog_level = 'debug'\n", encoding="utf-8")
    fresh.install(*packages)
    assert list(fresh.path.glob("usr/lib/resonance*/**/gone*")) == []
    assert "log_level = 'debug'" in (fresh.path / CONFIGURATION).read_text(encoding="utf-8")
    query = ("dpkg-query", "--show", "--showformat=${Version}", "resonanced")
    assert fresh.run(*query).stdout == _version(packages[-1]) != EARLIER
    fresh.purge()
    assert _difference(before, fresh.files()) == {}


def test_an_upgrade_leaves_a_disabled_service_disabled(
    fresh: Root, previous: list[Path], packages: list[Path]
) -> None:
    fresh.install(*previous)
    fresh.run("systemctl", "disable", "resonanced.service")
    fresh.install(*packages)
    told = fresh.run("systemctl", "is-enabled", "resonanced.service", may_fail=True).stdout
    assert told.strip() == "disabled"


@pytest.mark.parametrize("status", [0, 1], ids=["done", "failed"])
def test_removal_puts_back_what_was_changed_by_hand_and_does_not_hang_on_it(
    fresh: Root, packages: list[Path], status: int
) -> None:
    fresh.install(*packages)
    (fresh.path / "usr/bin/resonanced").write_text(RECORDER % status, encoding="utf-8")
    fresh.run("apt-get", "remove", "--yes", "resonanced")
    called = (fresh.path / "tmp" / "called").read_text(encoding="utf-8").splitlines()
    assert called == ["rollback"]
    assert (fresh.path / CONFIGURATION).exists()


def test_an_upgrade_leaves_what_was_changed_by_hand(
    fresh: Root, previous: list[Path], packages: list[Path]
) -> None:
    fresh.install(*previous)
    (fresh.path / "usr/bin/resonanced").write_text(RECORDER % 0, encoding="utf-8")
    fresh.install(*packages)
    assert not (fresh.path / "tmp" / "called").exists()


def test_the_operators_own_profiles_outlive_a_purge(fresh: Root, packages: list[Path]) -> None:
    fresh.install(*packages)
    profile = fresh.path / "etc/resonance/profiles/mine.toml"
    profile.parent.mkdir()
    profile.write_text("# mine\n", encoding="utf-8")
    fresh.purge()
    assert _ours(fresh) == [
        "etc/resonance",
        "etc/resonance/profiles",
        "etc/resonance/profiles/mine.toml",
    ]


def test_a_user_of_that_name_who_was_here_before_stays(fresh: Root, packages: list[Path]) -> None:
    fresh.run("useradd", "--system", "--comment", "A choir", "resonance")
    fresh.install(*packages)
    fresh.purge()
    assert ":A choir:" in fresh.run("getent", "passwd", "resonance").stdout


def test_members_of_the_group_do_not_keep_it_from_going(fresh: Root, packages: list[Path]) -> None:
    fresh.run("useradd", "alice")
    fresh.install(*packages)
    fresh.run("usermod", "--append", "--groups", "resonance", "alice")
    fresh.purge()
    for database in ("passwd", "group"):
        assert fresh.run("getent", database, "resonance", may_fail=True).stdout == ""
    assert "alice" in fresh.run("getent", "passwd", "alice").stdout


def test_a_group_that_somebody_else_has_as_their_own_does_not_stop_a_purge(
    fresh: Root, packages: list[Path]
) -> None:
    fresh.install(*packages)
    fresh.run("useradd", "--gid", "resonance", "bob")
    fresh.purge()
    assert fresh.run("getent", "passwd", "resonance", may_fail=True).stdout == ""
    assert "resonance" in fresh.run("getent", "group", "resonance").stdout


def test_the_service_is_not_installed_beside_a_library_of_another_release(
    fresh: Root, previous: list[Path], packages: list[Path]
) -> None:
    library = next(path for path in previous if path.name.startswith("resonance_"))
    service = next(path for path in packages if path.name.startswith("resonanced_"))
    with pytest.raises(AssertionError, match=r"Depends: resonance \(= "):
        fresh.install(library, service)
