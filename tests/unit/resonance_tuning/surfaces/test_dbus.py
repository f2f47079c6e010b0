# SPDX-License-Identifier: MIT
"""Calls of the service manager over a bus: errors, silence, a bus that starts anew."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.systemd_bus import SystemdBus
from resonance_tuning.surfaces import dbus
from resonance_tuning.surfaces.dbus import Systemd


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[SystemdBus]:
    bus = SystemdBus(tmp_path)
    bus.add("web-1@x.service")
    bus.start()
    yield bus
    bus.stop()


@pytest.fixture
def systemd(bus: SystemdBus) -> Iterator[Systemd]:
    systemd = Systemd(bus.address)
    yield systemd
    systemd.close()


def test_a_unit_is_found_and_read(systemd: Systemd) -> None:
    path = systemd.load("web-1@x.service")
    assert path == "/org/freedesktop/systemd1/unit/web_2d1_40x_2eservice"
    assert systemd.property(path, "Service", "CPUWeight") == 2**64 - 1
    assert systemd.property(path, "Unit", "Transient") is False


@pytest.mark.parametrize(
    ("text", "version"),
    [("257.9-1~deb13u1", 257), ("v261-rc2", 261), ("249", 249), ("unknown", 0)],
)
def test_the_version_is_the_number_in_front(
    bus: SystemdBus, systemd: Systemd, text: str, version: int
) -> None:
    bus.version = text
    assert systemd.version() == version


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("org.freedesktop.systemd1.NoSuchUnit", errno.ENOENT),
        ("org.freedesktop.DBus.Error.InvalidArgs", errno.EINVAL),
        ("org.freedesktop.DBus.Error.AccessDenied", errno.EACCES),
        ("org.example.Unheard", errno.EIO),
    ],
)
def test_an_error_has_a_number_and_the_managers_words(
    bus: SystemdBus, systemd: Systemd, name: str, number: int
) -> None:
    bus.errors["SetUnitProperties"] = (name, "its own words")
    with pytest.raises(OSError, match="its own words") as caught:
        systemd.set_property("web-1@x.service", "CPUWeight", "t", 5)
    assert caught.value.errno == number


def test_a_property_that_is_not_there_is_not_supported(systemd: Systemd) -> None:
    with pytest.raises(OSError, match="no Colour") as caught:
        systemd.property(systemd.load("web-1@x.service"), "Service", "Colour")
    assert caught.value.errno == errno.EOPNOTSUPP


def test_a_manager_that_is_silent_is_not_waited_for_for_ever(
    bus: SystemdBus, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = systemd.load("web-1@x.service")
    monkeypatch.setattr(dbus, "_TIMEOUT_SECONDS", 0.1)
    bus.is_silent = True
    with pytest.raises(TimeoutError, match="silent") as caught:
        systemd.property(path, "Unit", "Transient")
    assert caught.value.errno == errno.ETIMEDOUT
    bus.is_silent = False
    assert systemd.property(path, "Unit", "Transient") is False


def test_a_bus_that_starts_anew_is_found(bus: SystemdBus, systemd: Systemd) -> None:
    path = systemd.load("web-1@x.service")
    bus.stop()
    bus.start()
    assert systemd.load("web-1@x.service") == path


def test_without_a_manager_on_the_bus_the_connection_is_refused(
    bus: SystemdBus, systemd: Systemd
) -> None:
    bus.leave()
    with pytest.raises(ConnectionRefusedError):
        systemd.load("web-1@x.service")


def test_the_library_is_not_imported_before_it_is_used() -> None:
    program = (
        "import sys; from resonance_tuning.host import Host;"
        " from resonance_tuning.knobs.systemd_unit import UnitCpuWeight, UnitAllowedCpus;"
        " UnitCpuWeight(Host()); print('jeepney' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout == b"False\n"
