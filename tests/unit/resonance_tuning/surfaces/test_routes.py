# SPDX-License-Identifier: MIT
"""Messages are those a kernel sent for routes that were made with iproute2."""

from __future__ import annotations

import socket
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonance_tuning.surfaces import routes
from resonance_tuning.surfaces.netlink import Message, join_attributes
from resonance_tuning.surfaces.routes import (
    Destination,
    congestion_of,
    replace_words,
    with_congestion,
)

V4 = {"family": 2, "src_len": 0, "tos": 0, "table": 254, "proto": 3, "scope": 0, "type": 1}
V6 = {**V4, "family": 10}
METRICS, GATEWAY = 8, 5


def message(header: dict[str, int], length: int, **attributes: str) -> Message:
    found = {int(name[1:]): bytes.fromhex(value) for name, value in attributes.items()}
    return Message({**header, "dst_len": length, "flags": 0}, {15: b"\xfe\0\0\0", **found})


LOCKED_MTU = message(
    V4,
    24,
    a1="c6336400",
    a4="01000000",
    a5="c0000207",
    a6="07000000",
    a8="0800010004000000080002007805000008000b0014000000",
)
TWO_HOPS = message(
    V4,
    24,
    a1="cb007100",
    a9="100010020100000008000500c0000207100014000100000008000500c0000208",
)
PREFERRED = message(
    V6,
    64,
    a1="fd01" + "00" * 14,
    a4="01000000",
    a5="fd" + "00" * 14 + "07",
    a6="00040000",
    a8="0800020078050000",
    a12="00" * 32,
    a20="01",
)
BY_NEXT_HOP_ID = message(V4, 15, a1="c6120000", a4="01000000", a5="c0000209", a30="05000000")
ON_LINK = message({**V4, "proto": 2, "scope": 253}, 24, a1="c0000200", a4="01000000", a7="c0000201")
ALL = (LOCKED_MTU, TWO_HOPS, PREFERRED, BY_NEXT_HOP_ID, ON_LINK)

every_route = pytest.mark.parametrize("route", ALL)
CONGESTION = st.sampled_from(["", "bbr", "bbr lock", "cubic", "reno lock"])


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_indextoname", {1: "veth0"}.__getitem__)


@pytest.mark.parametrize(
    ("text", "family", "length"),
    [
        ("default", socket.AF_INET, 0),
        ("::/0", socket.AF_INET6, 0),
        ("198.51.100.0/24", socket.AF_INET, 24),
        ("198.51.100.7", socket.AF_INET, 32),
        ("fd01::/64", socket.AF_INET6, 64),
        ("fd01::1", socket.AF_INET6, 128),
    ],
)
def test_a_destination_is_written_as_for_ip_route(text: str, family: int, length: int) -> None:
    destination = Destination.parse(text)
    assert (destination.family, destination.length) == (family, length)
    assert Destination.parse(str(destination)) == destination


@pytest.mark.parametrize("text", ["", "x", "10.0.0.0/33", "10.0.0/8", "fd00::/-1", "::/129", "1/x"])
def test_what_is_no_destination_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Destination.parse(text)


def test_a_route_is_found_by_its_destination_in_the_main_table() -> None:
    there = Destination.parse("198.51.100.0/24")
    assert [there.is_of(route) for route in ALL] == [True, False, False, False, False]
    for change in ({"type": 2}, {"tos": 4}, {"flags": 0x200}, {"dst_len": 25}):
        assert not there.is_of(replace(LOCKED_MTU, header={**LOCKED_MTU.header, **change}))
    elsewhere = replace(LOCKED_MTU, attributes={**LOCKED_MTU.attributes, 15: b"\xff\0\0\0"})
    assert not there.is_of(elsewhere)


def test_the_default_route_has_no_address() -> None:
    default = message(V4, 0, a4="01000000", a5="c0000207")
    assert Destination.parse("default").is_of(default)


@given(st.sampled_from(ALL), CONGESTION, CONGESTION)
def test_there_and_back_is_the_same_request(route: Message, first: str, second: str) -> None:
    changed = with_congestion(route, first)
    assert congestion_of(changed) == first
    assert with_congestion(changed, second) == with_congestion(route, second)
    assert routes.identity_text(changed) == routes.identity_text(route)


@every_route
def test_other_metrics_and_their_locks_stay(route: Message) -> None:
    before = with_congestion(route, "")
    after = with_congestion(with_congestion(route, "bbr lock"), "")
    assert after == before
    assert after.attributes.get(METRICS, b"") == route.attributes.get(METRICS, b"")


def test_of_a_next_hop_by_its_id_the_kernel_must_be_told_that_there_are_no_metrics() -> None:
    assert with_congestion(BY_NEXT_HOP_ID, "").attributes[METRICS] == b""
    assert METRICS not in with_congestion(TWO_HOPS, "").attributes


def test_what_the_kernel_reports_beside_a_route_is_not_asked_for() -> None:
    assert with_congestion(PREFERRED, "bbr").attributes.keys() == {1, 4, 5, 6, 8, 15, 20}
    assert with_congestion(BY_NEXT_HOP_ID, "bbr").attributes.keys() == {1, 8, 15, 30}
    hops = with_congestion(TWO_HOPS, "bbr").attributes[9]
    assert (hops[2], hops[18]) == (0, 4)
    down = replace(LOCKED_MTU, header={**LOCKED_MTU.header, "flags": 0x15})
    assert with_congestion(down, "bbr").header["flags"] == 4


@pytest.mark.parametrize("change", [{GATEWAY: b"\xc0\0\2\x08"}, {4: b"\2\0\0\0"}])
def test_another_next_hop_makes_another_route(change: dict[int, bytes]) -> None:
    other = replace(LOCKED_MTU, attributes={**LOCKED_MTU.attributes, **change})
    assert routes.identity_text(other) != routes.identity_text(LOCKED_MTU)


def test_a_route_that_expires_is_refused() -> None:
    assert routes.refusal(PREFERRED) == ""
    cache = struct.pack("=IIi", 0, 0, 1700).ljust(32, b"\0")
    learnt = replace(PREFERRED, attributes={**PREFERRED.attributes, 12: cache})
    assert "expires" in routes.refusal(learnt)


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize(
    ("route", "words"),
    [
        (
            LOCKED_MTU,
            (
                "198.51.100.0/24 via 192.0.2.7 dev veth0 proto 3 scope global metric 7"
                " mtu lock 1400 initcwnd 20"
            ),
        ),
        (
            TWO_HOPS,
            (
                "203.0.113.0/24 proto 3 scope global nexthop via 192.0.2.7 dev veth0 weight 3"
                " nexthop via 192.0.2.8 dev veth0 weight 1 onlink"
            ),
        ),
        (PREFERRED, "fd01::/64 via fd00::7 dev veth0 proto 3 metric 1024 mtu 1400 pref high"),
        (ON_LINK, "192.0.2.0/24 dev veth0 proto 2 scope link src 192.0.2.1"),
        (
            with_congestion(ON_LINK, "bbr lock"),
            "192.0.2.0/24 dev veth0 proto 2 scope link src 192.0.2.1 congctl lock bbr",
        ),
    ],
)
def test_a_route_has_words_for_ip(route: Message, words: str) -> None:
    assert " ".join(replace_words(route)) == words


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize(
    "more",
    [{22: bytes(4)}, {30: bytes(4)}, {METRICS: join_attributes({13: struct.pack("=I", 200)})}],
    ids=["encapsulation", "next hop by id", "rto_min"],
)
def test_what_has_no_words_is_not_left_out(more: dict[int, bytes]) -> None:
    route = replace(LOCKED_MTU, attributes={**LOCKED_MTU.attributes, **more})
    with pytest.raises(ValueError, match="no words"):
        replace_words(route)
