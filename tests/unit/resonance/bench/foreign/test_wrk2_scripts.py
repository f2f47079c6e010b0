# SPDX-License-Identifier: MIT
from __future__ import annotations

import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonance.bench.errors import PlanError
from resonance.bench.foreign import wrk2_command
from resonance.bench.foreign.wrk2_scripts import wrk2_lua
from resonance.bench.plan import Load, Request, Stage, Target

Run = Callable[[str], list[str]]

LUA = shutil.which("luajit") or shutil.which("lua")
TARGET = Target("http", "127.0.0.1", 8080, "/path?q=1")
LOAD = Load(TARGET, (Stage(30.0, 2_000.0),), "constant")
MIX = (
    Request("read", weight=3.0),
    Request(
        "write", method="POST", path="/w", headers=(("A", "1"),), body=b'\0"\\\n]]END_OF_LUA\n'
    ),
)
FAKE = """\
#!/bin/sh
printf '%s\\0' "$@"
while [ $# -gt 0 ]; do
  [ "$1" = -s ] && cat "$2"
  shift
done
"""


def lua_bytes(literal: str) -> bytes:
    """Read a literal of Lua as its manual says, section 3.1."""
    parts = re.findall(r'\\(\d{3})|([^\\"])', literal)
    assert "".join(f"\\{code}" if code else plain for code, plain in parts) == literal
    return bytes(int(code) if code else ord(plain) for code, plain in parts)


def sent(load: Load) -> list[bytes]:
    lua = wrk2_lua(load)
    assert lua is not None
    assert lua.isascii()
    return [lua_bytes(each) for each in re.findall(r'bytes = "([^"]*)"', lua)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return the words that a script gives to wrk2, and what is in its file in Lua."""
    fake = tmp_path / "fake wrk2"
    fake.write_text(FAKE)
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)

    def run(script: str) -> list[str]:
        path = tmp_path / "script.sh"
        path.write_text(script)
        done = subprocess.run(
            ["/bin/sh", path], env={"WRK2": str(fake), "PATH": "/usr/bin:/bin"},
            check=True, timeout=60, capture_output=True,
        )  # fmt: skip
        assert done.stderr == b""
        return done.stdout.decode().split("\0")

    return run


def test_a_plain_get_needs_no_lua(run: Run) -> None:
    script = wrk2_command(replace(LOAD, connections=50, processes=2, timeout_seconds=1.2))
    assert wrk2_lua(LOAD) is None
    assert run(script) == [
        "-t2", "-c100", "-d30s", "-R2000", "-T2s", "-U", "http://127.0.0.1:8080/path?q=1", ""
    ]  # fmt: skip


def test_a_url_is_no_command(run: Run) -> None:
    path = "/';echo$(date)`x`\"&|<>*?"
    words = run(wrk2_command(replace(LOAD, target=replace(TARGET, path=path))))
    assert words[-2:] == [f"http://127.0.0.1:8080{path}", ""]


def test_other_requests_are_told_in_lua(run: Run) -> None:
    load = replace(LOAD, requests=MIX)
    words = run(wrk2_command(load))
    assert words[:6] == ["-t1", "-c256", "-d30s", "-R2000", "-T10s", "-U"]
    assert words[6] == "-s"
    assert words[-2] == "http://127.0.0.1:8080/path?q=1"
    assert words[-1] == wrk2_lua(load)
    assert not Path(words[7]).exists()  # it cleans up


def test_the_bytes_are_those_of_the_request() -> None:
    read, write = sent(replace(LOAD, requests=MIX))
    assert read == b"GET /path?q=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
    head, _, body = write.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /w HTTP/1.1", b"Host: 127.0.0.1:8080", b"A: 1", b"Content-Length: 17"
    ]  # fmt: skip
    assert body == MIX[1].body


def test_its_own_host_and_length_are_not_said_twice() -> None:
    headers = (("host", "other"), ("Content-length", "1"))
    (only,) = sent(replace(LOAD, requests=(Request(headers=headers, body=b"x"),)))
    assert only == b"GET /path?q=1 HTTP/1.1\r\nhost: other\r\nContent-length: 1\r\n\r\nx"


@given(st.binary(min_size=1, max_size=300))
def test_any_body_goes_out_unchanged(body: bytes) -> None:
    (only,) = sent(replace(LOAD, requests=(Request(body=body),)))
    assert only.partition(b"\r\n\r\n")[2] == body


@pytest.mark.skipif(LUA is None, reason="no Lua is installed")
def test_lua_draws_by_weight_and_says_the_bytes(tmp_path: Path) -> None:
    assert LUA is not None
    load = replace(LOAD, requests=MIX, seed=7)
    (tmp_path / "mix.lua").write_text(f"""\
{wrk2_lua(load)}
setup({{ set = function(self, name, value) _G[name] = value end }})
init()
assert(seed == 7)
for _ = 1, 400 do
  io.write((request():gsub(".", function(each) return string.format("%02x", each:byte()) end)))
  io.write("\\n")
end
""")
    done = subprocess.run(
        [LUA, "mix.lua"], cwd=tmp_path, check=True, timeout=60, capture_output=True, text=True
    )
    lines = [bytes.fromhex(line) for line in done.stdout.splitlines()]
    expected = sent(load)
    assert len(lines) == 400
    assert set(lines) == set(expected)
    assert 240 <= lines.count(expected[0]) <= 360  # of 300, by seven standard deviations


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"target": Target("grpc", "h", 1, "/p.S/M")}, "target"),
        ({"target": Target("h2", "h", 1)}, "target"),
        ({"target": Target("http", "localhost", 0, unix_socket="/s")}, "target"),
        ({"arrival": "poisson"}, "arrival"),
        ({"stages": (Stage(1.0, 1.0), Stage(1.0, 1.0))}, "stages"),
        ({"stages": (Stage(1.0, 1.0, 2.0),)}, "stages"),
        ({"stages": (Stage(1.0, 1.5),)}, "rate"),
        ({"stages": (Stage(1.5, 1.0),)}, "duration"),
        ({"requests": (Request(headers=(("A", "1\r\nB: 2"),)),)}, "header"),
        ({"requests": (Request(method="A B", body=b"x"),)}, "request all"),
        ({"requests": (Request(path="/\r\n", body=b"x"),)}, "request all"),
        ({"requests": (Request(path="/ä", body=b"x"),)}, "request all"),
    ],
)
def test_what_it_cannot_send_is_refused(change: dict[str, Any], key: str) -> None:
    with pytest.raises(PlanError) as error_info:
        wrk2_command(replace(LOAD, **change))
    assert error_info.value.key == key


@pytest.mark.parametrize(("seconds", "says"), [(30.0, "own warm-up"), (10.0, "no warm-up")])
def test_the_script_says_what_is_not_counted(seconds: float, says: str) -> None:
    assert says in wrk2_command(replace(LOAD, stages=(Stage(seconds, 1.0),)))


def test_the_script_says_that_certificates_are_not_looked_at() -> None:
    target = Target("https", "h", 443)
    told = "does not look at the server's certificate"
    assert told in wrk2_command(replace(LOAD, target=target))
    assert told not in wrk2_command(replace(LOAD, target=replace(target, verify=False)))
