# SPDX-License-Identifier: MIT
"""How is a load said to wrk2, so that it sends the same at the same rate?

As a shell script that can be run as it is. wrk2 has one rate, in whole calls per second, and a
duration in whole seconds; more than one request, or another than a plain GET, is said in Lua,
as the bytes that go out.

References
----------
The usage text of wrk2 4.0.0, and its file SCRIPTING.
"""

from __future__ import annotations

import json
import shlex
from itertools import accumulate
from math import ceil
from typing import Final

from resonance.bench.errors import PlanError
from resonance.bench.plan import Load, Request, Target
from resonance.bench.scenarios import checked_header

__all__ = ["wrk2_command", "wrk2_lua"]

_CALIBRATION_SECONDS: Final = 10
"""After which wrk2 forgets what it recorded, and begins anew: ``CALIBRATE_DELAY_MS``."""
_PLAIN: Final = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\')

_COMMAND: Final = """\
#!/bin/sh
# {about}
# wrk2's build is named wrk: where it is not on the PATH as wrk2, say WRK2=/path/to/wrk.
# {counted}
# Keep what it prints, and read it:
#   sh THIS_FILE > wrk2.txt
#   resonance bench import wrk2.txt --from wrk2 --rate {rate} --output run.json
set -eu
"""
_LUA: Final = """\
script=$(mktemp)
trap 'rm -f "$script"' EXIT
cat > "$script" <<'END_OF_LUA'
{lua}END_OF_LUA
"""
_ONE: Final = """\
local bytes = {bytes}

function request()
  return bytes
end
"""
_MIX: Final = """\
local requests = {{
{requests}
}}
local threads = 0

function setup(thread)
  thread:set("seed", {seed} + threads)
  threads = threads + 1
end

function init()
  math.randomseed(seed)
end

function request()
  local draw = math.random()
  for _, each in ipairs(requests) do
    if draw < each.up_to then
      return each.bytes
    end
  end
  return requests[#requests].bytes
end
"""


def wrk2_command(load: Load) -> str:
    """Return a load as a shell script that runs wrk2.

    Parameters
    ----------
    load : Load
        Over HTTP/1.1 with TCP, of constant arrival, with one rate.

    Returns
    -------
    str
        For every POSIX shell, ASCII; with the script in Lua, where there must be one.

    Raises
    ------
    PlanError
        wrk2 cannot send it, and what to do.
    """
    rate, seconds = _checked(load)
    lua = wrk2_lua(load)
    words = [
        f"-t{load.processes}",
        f"-c{load.connections * load.processes}",
        f"-d{seconds}s",
        f"-R{rate}",
        f"-T{ceil(load.timeout_seconds)}s",
        "-U",  # --latency as well, and from sending on beside it
    ]
    parts = [
        _COMMAND.format(
            about=f"{rate} calls/s for {seconds} s to {json.dumps(str(load.target))}",
            counted=_counted(load, seconds),
            rate=rate,
        ),
        _LUA.format(lua=lua) if lua else "",
        '"${WRK2:-wrk2}" ',
        " ".join(words),
        ' -s "$script" ' if lua else " ",
        shlex.quote(_url(load.target, load.requests[0])),
        "\n",
    ]
    return "".join(parts)


def wrk2_lua(load: Load) -> str | None:
    """Return the requests of a load as a script for wrk2.

    Parameters
    ----------
    load : Load

    Returns
    -------
    str or None
        Lua, ASCII; ``None`` for one plain GET, which needs none.

    Raises
    ------
    PlanError
        A header cannot be sent.
    """
    first, *others = load.requests
    if others:
        total = sum(each.weight for each in load.requests)
        shares = accumulate(each.weight / total for each in load.requests)
        lines = (
            f"  {{ up_to = {share!r}, bytes = {_lua_text(_bytes(load.target, each))} }},"
            for each, share in zip(load.requests, shares, strict=True)
        )
        return _MIX.format(requests="\n".join(lines), seed=load.seed % 2**31)
    if first.method == "GET" and not first.headers and not first.body:
        return None
    return _ONE.format(bytes=_lua_text(_bytes(load.target, first)))


def _checked(load: Load) -> tuple[int, int]:
    """Return rate and duration, if wrk2 can send the load."""
    target, (stage, *others) = load.target, load.stages
    if target.scheme not in {"http", "https"}:
        raise PlanError("target", f"wrk2 speaks HTTP/1.1 and not {target.scheme}; export http")
    if target.unix_socket:
        raise PlanError("target", "wrk2 knows no Unix sockets; let the server listen on TCP too")
    if load.arrival != "constant":
        raise PlanError(
            "arrival",
            "wrk2 sends evenly spaced; say --arrival constant, and measure so too to compare",
        )
    if others or stage.rate_per_second != stage.end_rate_per_second:
        raise PlanError("stages", "wrk2 knows one rate; export each stage by itself, or to k6")
    for key, value in (("rate", stage.rate_per_second), ("duration", stage.seconds)):
        if value != int(value):
            raise PlanError(key, f"wrk2 takes whole numbers, and {value:g} is none; round it")
    return int(stage.rate_per_second), int(stage.seconds)


def _counted(load: Load, seconds: int) -> str:
    if seconds > _CALIBRATION_SECONDS:
        counted = f"The first {_CALIBRATION_SECONDS} s are wrk2's own warm-up, and not counted."
    else:
        counted = f"Up to {_CALIBRATION_SECONDS} s wrk2 counts all calls: there is no warm-up."
    if load.target.is_tls and load.target.verify:
        return f"{counted} It does not look at the server's certificate."
    return counted


def _url(target: Target, request: Request) -> str:
    return f"{target.scheme}://{_host(target)}{request.path or target.path}"


def _host(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{host}:{target.port}"


def _bytes(target: Target, request: Request) -> bytes:
    """Return a request as it goes out."""
    path = request.path or target.path
    if not (f"{request.method}{path}".isascii() and f"{request.method}{path}".isprintable()):
        raise PlanError(f"request {request.name}", "method and path must be percent-encoded ASCII")
    if " " in request.method or " " in path:
        raise PlanError(f"request {request.name}", "method and path must have no spaces")
    headers = [checked_header(*header) for header in request.headers]
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        headers.insert(0, ("Host", _host(target)))
    if request.body and not names & {"content-length", "transfer-encoding"}:
        headers.append(("Content-Length", str(len(request.body))))
    lines = [f"{request.method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body


def _lua_text(content: bytes) -> str:
    """Return a literal that Lua reads as these bytes."""
    shown = (chr(byte) if byte in _PLAIN else f"\\{byte:03d}" for byte in content)
    return f'"{"".join(shown)}"'
