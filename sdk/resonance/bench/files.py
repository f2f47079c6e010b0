# SPDX-License-Identifier: MIT
"""How is a file written so that nobody ever reads half of it?"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["whole_file", "write_whole"]


@contextmanager
def whole_file(path: Path) -> Generator[IO[bytes]]:
    """Open what becomes the file when all is written; what was there before stays until then.

    What is there and is no file, such as a pipe or a device, cannot be replaced and is written to.

    Parameters
    ----------
    path : Path

    Yields
    ------
    binary file

    Raises
    ------
    OSError
        It cannot be written: no such directory, no room; the error names the file.
    """
    whole = path.resolve()
    is_stream = whole.exists() and not whole.is_file()
    part = whole if is_stream else whole.with_name(f"{whole.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        if not is_stream:
            part.replace(whole)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        if not is_stream:
            part.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file; it is whole or as it was before.

    Parameters
    ----------
    path : Path
    data : bytes

    Raises
    ------
    OSError
        As of `whole_file`.
    """
    with whole_file(path) as file:
        file.write(data)
