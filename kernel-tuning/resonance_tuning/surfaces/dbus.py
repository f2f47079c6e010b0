# SPDX-License-Identifier: MIT
"""The service manager on the message bus: a unit's properties, as it tells and takes them.

What is asked for here lasts until the next boot (``runtime``). The library is imported when
the bus is used, and no sooner: who turns no unit, or only rolls back files, need not have it.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
from typing import Any, Final

__all__ = ["SYSTEM_BUS", "Systemd"]

SYSTEM_BUS: Final = "/run/dbus/system_bus_socket"
_NAME: Final = "org.freedesktop.systemd1"
_PATH: Final = "/org/freedesktop/systemd1"
_MANAGER: Final = "org.freedesktop.systemd1.Manager"
_PROPERTIES: Final = "org.freedesktop.DBus.Properties"
_TIMEOUT_SECONDS: Final = 5.0
_RELOAD_TIMEOUT_SECONDS: Final = 90.0
"""To read all units again takes long on a large host; systemctl waits as long."""
_ERRNO: Final = {
    "org.freedesktop.DBus.Error.AccessDenied": errno.EACCES,
    "org.freedesktop.DBus.Error.InvalidArgs": errno.EINVAL,
    "org.freedesktop.DBus.Error.NameHasNoOwner": errno.ECONNREFUSED,
    "org.freedesktop.DBus.Error.NoReply": errno.ETIMEDOUT,
    "org.freedesktop.DBus.Error.PropertyReadOnly": errno.EROFS,
    "org.freedesktop.DBus.Error.ServiceUnknown": errno.ECONNREFUSED,
    "org.freedesktop.DBus.Error.UnknownInterface": errno.EOPNOTSUPP,
    "org.freedesktop.DBus.Error.UnknownMethod": errno.EOPNOTSUPP,
    "org.freedesktop.DBus.Error.UnknownProperty": errno.EOPNOTSUPP,
    "org.freedesktop.systemd1.NoSuchUnit": errno.ENOENT,
}


class Systemd:
    """The service manager, called and waited for.

    Parameters
    ----------
    address : str
        Of the message bus, as ``unix:path=...``.

    Notes
    -----
    Every method raises ``OSError`` with the errno that fits the manager's or the bus's answer
    and their own words, and ``ImportError`` without jeepney.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: Any = None  # the library is not typed

    def version(self) -> int:
        """Return systemd's version, ``252`` out of ``252.22-1~deb12u1``."""
        text = str(self.property(_PATH, "Manager", "Version"))
        digits = "".join(itertools.takewhile(str.isdecimal, text.lstrip("v")))
        return int(digits or 0)

    def load(self, unit: str) -> str:
        """Return a unit's object path; also of one that does not run or does not exist."""
        (path,) = self._call(_PATH, _MANAGER, "LoadUnit", "s", (unit,))
        return str(path)

    def property(self, path: str, interface: str, name: str) -> object:
        """Return a property's value; the interface is ``Unit`` or the kind of the unit."""
        body = (f"{_NAME}.{interface}", name)
        ((_, value),) = self._call(path, _PROPERTIES, "Get", "ss", body)
        return value

    def set_property(self, unit: str, name: str, signature: str, value: object) -> None:
        """Set a property of a unit until the next boot."""
        body = (unit, True, [(name, (signature, value))])
        self._call(_PATH, _MANAGER, "SetUnitProperties", "sba(sv)", body)

    def reload(self) -> None:
        """Let the manager read all units again and put each cgroup right."""
        self._call(_PATH, _MANAGER, "Reload", None, (), timeout_seconds=_RELOAD_TIMEOUT_SECONDS)

    def close(self) -> None:
        """Close the connection; the next call opens one."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str | None,
        body: tuple[object, ...],
        *,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> tuple[Any, ...]:
        library = _library()
        address = library.DBusAddress(path, bus_name=_NAME, interface=interface)
        message = library.new_method_call(address, member, signature, body)
        try:
            reply = self._connected().send_and_get_reply(message, timeout=timeout_seconds)
            answer: tuple[Any, ...] = library.wrappers.unwrap_msg(reply)
        except library.DBusErrorResponse as error:
            words = str(error.data[0]) if error.data else error.name
            raise OSError(_ERRNO.get(error.name, errno.EIO), words) from error
        except TimeoutError as error:
            self.close()  # the answer may still come, and is nobody's then
            raise OSError(errno.ETIMEDOUT, f"{member}: the service manager is silent") from error
        except ConnectionError:
            self.close()
            raise
        return answer

    def _connected(self) -> Any:
        """Return a connection that is alive; the bus may have been started anew meanwhile."""
        if self._connection:
            self._drain()
        if not self._connection:
            try:
                self._connection = _library().io.blocking.open_dbus_connection(self._address)
            except FileNotFoundError as error:  # no bus, which is not to be taken for no unit
                raise ConnectionRefusedError(errno.ECONNREFUSED, "no message bus") from error
        return self._connection

    def _drain(self) -> None:
        """Take what came unasked; find out whether the bus has gone."""
        try:
            with contextlib.suppress(TimeoutError):
                while True:
                    self._connection.receive(timeout=0)
        except ConnectionError:
            self.close()


def _library() -> Any:
    import jeepney
    from jeepney.io import blocking

    del blocking  # as an attribute of the other
    return jeepney
