# SPDX-License-Identifier: MIT
"""What kinds of calls does a scenario mix, and what do they carry?"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Final

import msgspec

from resonance.bench.errors import PlanError
from resonance.bench.plan import Request

__all__ = ["RequestTable", "checked_header", "read_body", "request_of"]

_MOST_BODY_BYTES: Final = 16 * 2**20
"""*Chosen*: it is in the memory of each process that sends."""
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, section 5.6.2."""
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""RFC 9110, section 5.5."""
_PATH: Final = re.compile(r"(?:/[!-~]*)?")
_BODIES: Final = ("body", "body_file", "body_base64")


class RequestTable(msgspec.Struct, frozen=True, kw_only=True):
    """A ``[[requests]]`` of a scenario; its keys are those of the file.

    Attributes
    ----------
    name : str
        Empty for its number.
    weight : float
    method : str
        Empty for GET, or POST where there is a body.
    path : str
    headers : dict of str to str or list of str
    body, body_file, body_base64 : str or None
        At most one of them; the file is looked for beside the scenario.
    """

    name: str = ""
    weight: float = 1.0
    method: str = ""
    path: str = ""
    headers: dict[str, str | list[str]] = {}
    body: str | None = None
    body_file: str | None = None
    body_base64: str | None = None


def request_of(table: RequestTable, number: int, where: str, folder: Path) -> Request:
    """Return one kind of call.

    Parameters
    ----------
    table : RequestTable
    number : int
        From 1.
    where : str
        Its path in the file, for errors.
    folder : Path
        Of the scenario.

    Returns
    -------
    Request

    Raises
    ------
    PlanError
        A value cannot be sent.
    """
    body = _body(table, where, folder)
    method = table.method or ("POST" if body else "GET")
    if not _TOKEN.fullmatch(method):
        raise PlanError(f"{where}.method", f"{method!r} is no method of HTTP, such as GET")
    if not _PATH.fullmatch(table.path):
        raise PlanError(f"{where}.path", f"{table.path!r} must begin with / and be percent-encoded")
    headers = tuple(
        checked_header(name, value, f"{where}.headers")
        for name, values in table.headers.items()
        for value in ([values] if isinstance(values, str) else values)
    )
    name = table.name or f"request {number}"
    if not name.isprintable():
        raise PlanError(f"{where}.name", f"{name!r} has letters that cannot be printed")
    try:
        return Request(
            name=name,
            weight=table.weight,
            method=method,
            path=table.path,
            headers=headers,
            body=body,
        )
    except PlanError as error:
        raise PlanError(f"{where}.weight", error.reason) from None


def checked_header(name: str, value: str, key: str = "header") -> tuple[str, str]:
    """Return a header, if it can be sent as one.

    Parameters
    ----------
    name, value : str
    key : str
        What is wrong where it cannot.

    Returns
    -------
    (str, str)
        Without the spaces around them.

    Raises
    ------
    PlanError
        The name is no token, or the value has a line break or another control character.
    """
    name, value = name.strip(), value.strip()
    if not _TOKEN.fullmatch(name):
        raise PlanError(key, f"{name!r} is no name of a header, such as Accept-Language")
    if not _VALUE.fullmatch(value):
        raise PlanError(key, f"{name}: the value must be one line of latin-1 letters")
    return name, value


def _body(table: RequestTable, where: str, folder: Path) -> bytes:
    given = [key for key in _BODIES if getattr(table, key) is not None]
    if len(given) > 1:
        raise PlanError(where, f"has {' and '.join(given)}; say one of them")
    if table.body is not None:
        return table.body.encode()
    if table.body_file is not None:
        return read_body(folder / table.body_file, f"{where}.body_file")
    if table.body_base64 is not None:
        try:
            return base64.b64decode(table.body_base64, validate=True)
        except binascii.Error as error:
            raise PlanError(f"{where}.body_base64", f"is not base64: {error}") from None
    return b""


def read_body(path: Path, key: str) -> bytes:
    """Return what a file holds, to be sent.

    Parameters
    ----------
    path : Path
    key : str
        What is wrong where it cannot be read.

    Returns
    -------
    bytes

    Raises
    ------
    PlanError
        It cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BODY_BYTES + 1)
    except (OSError, ValueError) as error:  # a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise PlanError(key, f"{path}: {reason}") from None
    if len(content) > _MOST_BODY_BYTES:
        raise PlanError(key, f"{path}: more than {_MOST_BODY_BYTES >> 20} MiB in one request")
    return content
