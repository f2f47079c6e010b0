# SPDX-License-Identifier: MIT
"""How does a name that anybody may have chosen reach a terminal unharmed?

Whoever may make a cgroup names it, in any bytes but NUL and slash. What would steer the
terminal is shown escaped; in a command to paste it stays what it is, in the shell's words.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

__all__ = [
    "WIDTH",
    "command_lines",
    "printable",
    "shortened",
    "wrapped",
    "write",
    "write_json",
]

WIDTH: Final = 79
"""Columns of a line."""


def printable(text: str) -> str:
    r"""Return a text of one line that a terminal only shows.

    >>> printable("/web\x1b[2J\udcff")
    '/web\\x1b[2J\\xff'
    """
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in letter.encode(errors="surrogateescape"))


def shortened(text: str, columns: int) -> str:
    """Return a printable text cut in its middle: its ends tell cgroups apart.

    >>> shortened("/system.slice/web.service", 12)
    '/syst…ervice'
    """
    text = printable(text)
    if len(text) <= columns:
        return text
    head = (columns - 1) // 2
    return f"{text[:head]}…{text[head + 1 - columns :]}"


def wrapped(text: str, indent: str = "", first: str | None = None) -> list[str]:
    """Return a sentence as lines; only a word that is longer than a line is broken."""
    return textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def command_lines(command: str, indent: str = "  ") -> list[str]:
    r"""Return a shell command as lines that can be pasted together.

    Unprintable letters stand in quotes, as `shlex.quote` puts them; there they become
    ``$'\x1b'``, which bash, zsh and newer POSIX shells read.

    >>> command_lines("echo 1 > '/a\x1b'")
    ["  echo 1 > '/a'$'\\x1b'''"]
    """
    words = [
        "".join(letter if letter.isprintable() else f"'$'{_escaped(letter)}''" for letter in word)
        for word in _words(command)
    ]
    lines: list[str] = []
    line = indent
    for word in words:
        # Two columns are kept for the backslash that joins lines.
        if line.strip() and len(line) + len(word) > WIDTH - 2:
            lines.append(f"{line.rstrip()} \\")
            line = f"{indent}  "
        line += f"{word} "
    return [*lines, line.rstrip()]


def _words(command: str) -> Iterator[str]:
    """Cut a command at the blanks that stand in no quotes."""
    word, quote = "", ""
    for letter in command:
        if letter == " " and not quote:
            yield word
            word = ""
            continue
        if letter in {"'", '"'} and quote in {"", letter}:
            quote = "" if quote else letter
        word += letter
    yield word


def write(lines: Iterable[str]) -> None:
    """Print lines; a letter that the terminal's own encoding lacks is escaped."""
    text = "\n".join(lines) + "\n"
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def write_json(document: Mapping[str, Any]) -> None:
    r"""Print one document; it is ASCII, so bytes that are no UTF-8 stand as ``\udcXX``."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
