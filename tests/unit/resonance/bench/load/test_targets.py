# SPDX-License-Identifier: MIT
"""What the text of a target means, and what is said of one that means nothing."""

from __future__ import annotations

import pytest

from resonance.bench.errors import PlanError
from resonance.bench.load import parse_target


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "path", "unix_socket"),
    [
        ("http://localhost", "http", "localhost", 80, "/", ""),
        ("https://[::1]:8443/a?b=c", "https", "::1", 8443, "/a?b=c", ""),
        ("h2://example.org", "h2", "example.org", 443, "/", ""),
        ("h2c://h:81/x", "h2c", "h", 81, "/x", ""),
        ("grpc://h:50051/a.B/C", "grpc", "h", 50051, "/a.B/C", ""),
        ("grpcs://h/a.B/C", "grpcs", "h", 443, "/a.B/C", ""),
        ("TCP://h:9", "frames", "h", 9, "", ""),
        ("http+unix:/run/x.sock:/p?q", "http", "localhost", 0, "/p?q", "/run/x.sock"),
        ("http+unix:/run/x.sock", "http", "localhost", 0, "/", "/run/x.sock"),
        ("frames+unix:@name", "frames", "localhost", 0, "", "@name"),
        ("grpc+unix:/x.sock:/pkg.S/M", "grpc", "localhost", 0, "/pkg.S/M", "/x.sock"),
    ],
)
def test_a_target_is_read_and_printed_so_that_it_is_read_again(
    text: str, scheme: str, host: str, port: int, path: str, unix_socket: str
) -> None:
    target = parse_target(text)
    assert (target.scheme, target.host, target.port) == (scheme, host, port)
    assert (target.path, target.unix_socket) == (path, unix_socket)
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "none of"),
        ("localhost:80", "none of"),
        ("ftp://h/", "none of"),
        ("http:///x", "no host"),
        ("http://h:port/", "port could not be cast"),
        ("http://h:99999/", "port out of range"),
        ("http://h:0/", "no port"),
        ("tcp://h", "no port"),
        ("tcp://h:1/x", "no path"),
        ("grpc://h:1/", "package.Service/Method"),
        ("http://me:secret@h/", "header"),
        ("http://h/a b", "percent-encoded"),
        ("http+unix:relative.sock", "path of a socket"),
        ("http+udp:/x", "none of"),
    ],
)
def test_what_means_nothing_is_refused_with_what_is_right(text: str, reason: str) -> None:
    with pytest.raises(PlanError, match=reason) as caught:
        parse_target(text)
    assert caught.value.key == "target"
