# SPDX-License-Identifier: MIT
"""A service manager on a message bus of its own: it answers as systemd and keeps what was asked.

The bus is the real dbus-daemon, so that every message is checked by somebody else's reading of
the wire format.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jeepney import HeaderFields, Message, MessageType, new_error, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, open_dbus_connection

_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow send_destination="*"/><allow own="*"/><allow eavesdrop="false"/>
  </policy>
</busconfig>
"""
_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_UNIT_PATH = f"{_PATH}/unit/"
_UNSET_WEIGHT = 2**64 - 1
_SIGNATURES = {
    "AllowedCPUs": "ay",
    "CPUWeight": "t",
    "InvocationID": "ay",
    "Transient": "b",
}


@dataclass
class FakeUnit:
    """A unit's properties, by their names on the bus."""

    properties: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Call:
    """One method call, as it came over the wire."""

    member: str
    signature: str
    body: tuple[Any, ...]


class SystemdBus:
    """A bus with a service manager on it, from ``start`` to ``stop``.

    Attributes
    ----------
    calls : list of Call
        Every call of the manager, oldest first; reading a property is none.
    units : dict of str to FakeUnit
    on_set : callable
        Called with a unit's name and its properties after each change of one, as systemd
        writes the cgroup then.
    on_reload : callable
    errors : dict of str to (str, str)
        Name and words of the error with which calls of a method are answered.
    version : str
    is_silent : bool
        Whether calls are left without an answer.
    """

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "run/dbus/system_bus_socket"
        self.address = f"unix:path={self.socket}"
        self.calls: list[Call] = []
        self.units: dict[str, FakeUnit] = {}
        self.on_set: Callable[[str, dict[str, Any]], None] = lambda _name, _properties: None
        self.on_reload: Callable[[], None] = lambda: None
        self.errors: dict[str, tuple[str, str]] = {}
        self.version = "257.9-1~deb13u1"
        self.is_silent = False
        self._directory = directory
        self._daemon: subprocess.Popen[str] | None = None
        self._connection: DBusConnection | None = None
        self._thread: threading.Thread | None = None

    def add(self, name: str, **properties: Any) -> None:
        """Add a unit that runs, without any setting."""
        self.units[name] = FakeUnit(
            {
                "LoadState": "loaded",
                "FragmentPath": f"/etc/systemd/system/{name}",
                "Transient": False,
                "InvocationID": bytes(16),
                "ControlGroup": f"/system.slice/{name}",
                "CPUWeight": _UNSET_WEIGHT,
                "AllowedCPUs": b"",
                **properties,
            }
        )

    def start(self) -> None:
        """Start the bus and the manager on it."""
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        configuration = self._directory / "bus.conf"
        configuration.write_text(_CONFIGURATION.format(socket=self.socket), encoding="utf-8")
        self._daemon = subprocess.Popen(
            [
                "dbus-daemon",
                f"--config-file={configuration}",
                "--nofork",
                "--nopidfile",
                "--print-address",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._daemon.stdout
        assert self._daemon.stdout.readline().startswith("unix:")
        self._connection = open_dbus_connection(self.address)
        self._connection.send_and_get_reply(message_bus.RequestName(_NAME), timeout=5)
        self._thread = threading.Thread(target=self._serve, args=(self._connection,))
        self._thread.start()

    def stop(self) -> None:
        """End both."""
        assert self._daemon
        assert self._thread
        assert self._connection
        self._daemon.terminate()
        self._daemon.wait()
        assert self._daemon.stdout
        self._daemon.stdout.close()
        self._thread.join()
        self._connection.close()

    def leave(self) -> None:
        """Let the manager leave the bus, which stays."""
        assert self._connection
        self._connection.send(message_bus.ReleaseName(_NAME))

    def names(self) -> list[str]:
        """Return the methods that were called, without the loading of units."""
        return [call.member for call in self.calls if call.member != "LoadUnit"]

    def _serve(self, connection: DBusConnection) -> None:
        while True:
            try:
                message = connection.receive()
                if message.header.message_type is MessageType.method_call and not self.is_silent:
                    connection.send(self._answer(message))
            except ConnectionError:
                return  # the bus has ended

    def _answer(self, message: Message) -> Message:
        fields = message.header.fields
        member = fields[HeaderFields.member]
        if error := self.errors.get(member):
            return new_error(message, error[0], "s", (error[1],))
        if member == "Get":
            return self._get(message, fields[HeaderFields.path])
        self.calls.append(Call(member, fields.get(HeaderFields.signature, ""), message.body))
        if fields[HeaderFields.path] != _PATH:
            return new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "s", (member,))
        if member == "LoadUnit":
            return new_method_return(message, "o", (_object_path(message.body[0]),))
        if member == "SetUnitProperties":
            return self._set(message)
        self.on_reload()
        return new_method_return(message)

    def _get(self, message: Message, path: str) -> Message:
        interface, name = message.body
        unit = next((unit for each, unit in self.units.items() if _object_path(each) == path), None)
        properties = unit.properties if unit else {"LoadState": "not-found"}
        kind = path.rpartition("_2e")[2].capitalize()
        if path == _PATH:
            kind, properties = "Manager", {"Version": self.version}
        if interface not in {f"{_NAME}.Unit", f"{_NAME}.{kind}"} or name not in properties:
            return new_error(
                message, "org.freedesktop.DBus.Error.UnknownProperty", "s", (f"no {name}",)
            )
        return new_method_return(message, "v", ((_SIGNATURES.get(name, "s"), properties[name]),))

    def _set(self, message: Message) -> Message:
        name, is_runtime, changes = message.body
        unit = self.units.get(name)
        if unit is None:
            return new_error(message, f"{_NAME}.NoSuchUnit", "s", (f"Unit {name} not found.",))
        assert is_runtime
        for key, (signature, value) in changes:
            if signature != _SIGNATURES[key]:
                words = f"Unexpected type {signature} of {key}"
                return new_error(message, "org.freedesktop.DBus.Error.InvalidArgs", "s", (words,))
            unit.properties[key] = value
        self.on_set(name, unit.properties)
        return new_method_return(message)


def _object_path(unit: str) -> str:
    """Return the path as systemd escapes it: what is no letter or digit as ``_`` and its code."""
    escaped = (c if c.isascii() and c.isalnum() else f"_{ord(c):02x}" for c in unit)
    return _UNIT_PATH + "".join(escaped)
