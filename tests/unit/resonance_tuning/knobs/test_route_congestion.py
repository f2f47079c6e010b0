# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from resonance_tuning.errors import KnobUnavailableError, TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.knobs.route_congestion import RouteCongestion
from resonance_tuning.records import State, Target
from resonance_tuning.surfaces import netlink
from resonance_tuning.surfaces.netlink import Message

METRIC, DEVICE = 6, 4
ROUTE = Message(
    {
        "family": 2,
        "dst_len": 24,
        "src_len": 0,
        "tos": 0,
        "table": 254,
        "proto": 3,
        "scope": 0,
        "type": 1,
        "flags": 0,
    },
    {
        1: bytes([198, 51, 100, 0]),
        DEVICE: b"\1\0\0\0",
        5: bytes([192, 0, 2, 7]),
        METRIC: b"\7\0\0\0",
        8: bytes.fromhex("0800020078050000"),
        15: b"\xfe\0\0\0",
    },
)
TARGET = Target("route", "198.51.100.0/24 metric 7")


class Table:
    """A routing table that replaces by destination and metric, as the kernel's does."""

    def __init__(self, *found: Message) -> None:
        self.found = list(found)
        self.replaced: list[Message] = []

    def routes(self, host: Host, family: int) -> list[Message]:
        return [route for route in self.found if route.header["family"] == family]

    def replace_route(self, host: Host, route: Message) -> None:
        for place, old in enumerate(self.found):
            if old.attributes[METRIC] == route.attributes[METRIC]:
                self.found[place] = route
                self.replaced.append(route)
                return
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def like(route: Message, **attributes: bytes) -> Message:
    changed = {int(name[1:]): value for name, value in attributes.items()}
    return replace(route, attributes={**route.attributes, **changed})


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    table = Table(ROUTE)
    monkeypatch.setattr(netlink, "routes", table.routes)
    monkeypatch.setattr(netlink, "replace_route", table.replace_route)
    monkeypatch.setattr(socket, "if_indextoname", {1: "veth0"}.__getitem__)
    return table


@pytest.fixture
def knob(tmp_path: Path) -> RouteCongestion:
    file = tmp_path / "proc/sys/net/ipv4/tcp_available_congestion_control"
    file.parent.mkdir(parents=True)
    file.write_text("reno bbr cubic\n", encoding="ascii")
    return RouteCongestion(Host(tmp_path))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("bbr", "bbr"),
        ("bbr lock", "bbr lock"),
        ({"algorithm": "bbr"}, "bbr"),
        ({"algorithm": "bbr", "lock": True}, "bbr lock"),
    ],
)
def test_a_value_has_one_text(knob: RouteCongestion, value: object, text: str) -> None:
    assert knob.parse(value) == text


@pytest.mark.parametrize(
    "value", ["", "bbr  lock", "bbr fast", 7, {"lock": True}, {"algorithm": "bbr", "lock": 1}]
)
def test_what_is_no_congestion_control_is_refused(knob: RouteCongestion, value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        knob.parse(value)


def test_a_route_is_changed_and_put_back_whole(knob: RouteCongestion, table: Table) -> None:
    prior, identity = knob.read(TARGET), knob.identity(TARGET)
    assert prior.value == ""
    knob.write(TARGET, "bbr lock")
    assert knob.read(TARGET).value == "bbr lock" == knob.canonical(TARGET, "bbr lock")
    assert knob.identity(TARGET) == identity
    knob.restore(TARGET, prior)
    assert table.found == [ROUTE]
    assert knob.read(TARGET) == prior


def test_the_journalled_state_is_the_whole_message(knob: RouteCongestion, table: Table) -> None:
    assert Message.from_text(knob.read(TARGET).coupled["route"]) == ROUTE


def test_what_is_there_already_is_not_sent(knob: RouteCongestion, table: Table) -> None:
    knob.write(TARGET, "")
    knob.restore(TARGET, knob.read(TARGET))
    assert table.replaced == []


def test_another_metric_changed_meanwhile_stays(knob: RouteCongestion, table: Table) -> None:
    prior = knob.read(TARGET)
    knob.write(TARGET, "bbr")
    admin = like(table.found[0], a8=bytes.fromhex("0800020014050000") + b"\x08\0\x10\0bbr\0")
    table.found = [admin]
    assert knob.read(TARGET).value == "bbr"
    knob.restore(TARGET, prior)
    assert table.found == [like(ROUTE, a8=bytes.fromhex("0800020014050000"))]


def test_a_target_gets_the_metric_of_the_best_route(knob: RouteCongestion, table: Table) -> None:
    table.found.append(like(ROUTE, a6=b"\x64\0\0\0"))
    plain = Target("route", "198.51.100.0/24")
    others = [Target("device", "eth0"), Target("route", "203.0.113.0/24")]
    assert knob.targets([plain, *others]) == [TARGET, others[1]]


def test_a_better_route_that_comes_later_is_another(knob: RouteCongestion, table: Table) -> None:
    prior = knob.read(TARGET)
    knob.write(TARGET, "bbr")
    table.found.append(like(ROUTE, a6=b"\1\0\0\0"))
    knob.restore(TARGET, prior)
    assert table.found[0] == ROUTE


def test_routes_that_a_replacement_cannot_tell_apart_are_refused(
    knob: RouteCongestion, table: Table
) -> None:
    table.found.append(like(ROUTE, a4=b"\2\0\0\0"))
    assert knob.unavailable(TARGET) == "2 routes lead to 198.51.100.0/24 metric 7"
    with pytest.raises(KnobUnavailableError):
        knob.write(TARGET, "bbr")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("203.0.113.0/24", "no such route"),
        ("198.51.100.0/24 metric 8", "no such route"),
        ("x", "not a route"),
    ],
)
def test_a_route_that_is_not_there_is_told(
    knob: RouteCongestion, table: Table, name: str, why: str
) -> None:
    assert why in knob.unavailable(Target("route", name))


def test_a_route_of_a_device_that_went_down_has_vanished(
    knob: RouteCongestion, table: Table
) -> None:
    table.found.clear()
    for ask in (knob.read, knob.identity):
        with pytest.raises(TargetVanishedError):
            ask(TARGET)


def test_a_route_that_goes_between_two_looks_has_vanished(
    knob: RouteCongestion, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netlink, "replace_route", Table().replace_route)
    with pytest.raises(TargetVanishedError):
        knob.write(TARGET, "bbr")


@pytest.mark.parametrize("value", ["dctcp", "dctcp lock"])
def test_an_algorithm_that_is_not_loaded_is_told_before_it_is_written(
    knob: RouteCongestion, value: str
) -> None:
    with pytest.raises(KnobUnavailableError, match="modprobe tcp_dctcp"):
        knob.canonical(TARGET, value)


def test_the_paste_able_undo_makes_the_whole_route(knob: RouteCongestion, table: Table) -> None:
    assert knob.commands(TARGET, knob.read(TARGET)) == (
        (
            "ip -4 route replace 198.51.100.0/24 via 192.0.2.7 dev veth0 proto 3 scope global"
            " metric 7 mtu 1400"
        ),
    )


@pytest.mark.parametrize("prior", [State(""), State("", {"route": "{}"})])
def test_a_route_without_words_is_put_back_by_us(knob: RouteCongestion, prior: State) -> None:
    assert knob.commands(TARGET, prior) == ("resonanced rollback",)


def test_a_missing_library_makes_it_unavailable(
    knob: RouteCongestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netlink, "missing", lambda: "pyroute2 is not installed")
    assert knob.unavailable(TARGET) == "pyroute2 is not installed"
