# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from fakes.kernel import FakeKernel
from resonance_bpf.catalogue import LISTENERS
from resonance_bpf.errors import ProbeUnsupportedError
from resonance_bpf.hierarchy import find_hierarchy
from resonance_bpf.layouts import LISTENER
from resonanced.model import Endpoint, Resolution, Slot
from resonanced.signals.resolve import Resolver, is_local_address, listener_cell

OTHER = Slot(0, 1, "other", 0)
PORT = 8_080


class Host:
    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel
        self.web = kernel.make_cgroup("/web")
        self.batch = kernel.make_cgroup("/batch")
        self.listeners = np.zeros(LISTENERS, LISTENER)
        self.listed: frozenset[int] = frozenset()
        self.slots = [OTHER, Slot(3, 2, "/web", self.web)]
        self.resolver = Resolver(
            find_hierarchy(kernel.root),
            self.listeners,
            proc=kernel.proc,
            diag=lambda _port: self.listed,
            is_local=lambda host: host.startswith("127."),
        )

    def learn(self, cgroup_id: int, port: int = PORT, namespace: int | None = None) -> None:
        namespace = self.kernel.network_namespace if namespace is None else namespace
        self.listeners[listener_cell(port, namespace)] = (cgroup_id, namespace, port)

    def resolve(self, subject: Endpoint | int) -> Resolution:
        return self.resolver.resolve(subject, self.slots)

    def why_not(self, subject: Endpoint | int) -> str:
        resolution = self.resolve(subject)
        assert not resolution.is_known
        assert resolution.slot is None
        return resolution.reason


@pytest.fixture(params=["v1-cpu", "v2"])
def host(tmp_path: Path, request: pytest.FixtureRequest) -> Host:
    return Host(FakeKernel(tmp_path, request.param))


@pytest.fixture
def host_v1(tmp_path: Path) -> Host:
    return Host(FakeKernel(tmp_path, "v1-cpu"))


@pytest.fixture
def host_v2(tmp_path: Path) -> Host:
    return Host(FakeKernel(tmp_path, "v2"))


def test_a_process_is_in_the_slot_of_its_cgroup(host: Host) -> None:
    host.kernel.make_task(7, "/web")
    assert host.resolve(7) == Resolution(
        is_known=True, slot=host.slots[1], cgroup="/web", cgroup_id=host.web
    )


def test_a_cgroup_without_a_slot_is_in_other(host: Host) -> None:
    host.kernel.make_task(7, "/batch")
    assert host.resolve(7) == Resolution(
        is_known=True, slot=OTHER, cgroup="/batch", cgroup_id=host.batch
    )


def test_a_process_that_is_not_there(host: Host) -> None:
    assert "no process 7" in host.why_not(7)


def test_a_zombie_is_not_resolved_though_it_names_a_cgroup(host: Host) -> None:
    host.kernel.make_task(7, "/web", state="Z")
    assert host.why_not(7) == "process 7 has ended"


def test_a_process_outside_of_our_namespace(host: Host) -> None:
    host.kernel.make_task(7, "/../pod")
    assert "outside" in host.why_not(7)


def test_a_process_whose_cgroup_was_removed(host_v2: Host) -> None:
    host_v2.kernel.make_task(7, "/gone (deleted)")
    assert "removed" in host_v2.why_not(7)


def test_a_hidden_process(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path, **_how: str) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert "hidepid" in host.why_not(7)


@pytest.mark.parametrize("address", ["", "127.0.0.1"])
def test_a_listener_the_probes_saw(host: Host, address: str) -> None:
    host.learn(host.web)
    host.kernel.listen_here(PORT)
    assert host.resolve(Endpoint(address, PORT)).slot == host.slots[1]


def test_our_own_namespace_goes_before_others(host: Host) -> None:
    host.learn(host.web)
    host.learn(host.batch, namespace=4_026_500_000)
    assert host.resolve(Endpoint("", PORT)).cgroup == "/web"


def test_a_listener_in_one_other_namespace_is_accepted(host: Host) -> None:
    host.learn(host.batch, namespace=4_026_500_000)
    assert host.resolve(Endpoint("", PORT)).cgroup == "/batch"


def test_listeners_in_several_other_namespaces_are_not_guessed(host: Host) -> None:
    host.learn(host.web, namespace=4_026_500_000)
    host.learn(host.batch, namespace=4_026_500_001)
    assert host.why_not(Endpoint("", PORT)) == f"port {PORT} has listeners in 2 cgroups"


def test_an_older_listener_here_hides_a_learnt_one_elsewhere(host_v1: Host) -> None:
    host_v1.kernel.listen_here(22, PORT)
    host_v1.learn(host_v1.batch, namespace=4_026_500_000)
    assert "before the probes were attached" in host_v1.why_not(Endpoint("", PORT))


def test_on_v2_the_socket_table_knows_an_older_listener(host_v2: Host) -> None:
    host_v2.kernel.listen_here(PORT)
    host_v2.listed = frozenset({host_v2.web})
    host_v2.learn(host_v2.batch, namespace=4_026_500_000)
    assert host_v2.resolve(Endpoint("", PORT)).cgroup == "/web"


def test_a_socket_table_that_cannot_be_read_is_a_reason(host_v2: Host) -> None:
    def refuse(_port: int) -> frozenset[int]:
        raise ProbeUnsupportedError("inet_diag", "not there", "modprobe tcp_diag")

    host_v2.kernel.listen_here(PORT)
    host_v2.resolver._diag = refuse
    assert "modprobe tcp_diag" in host_v2.why_not(Endpoint("", PORT))


def test_a_closed_listener_is_nobody(host: Host) -> None:
    host.learn(0)
    assert "nobody" in host.why_not(Endpoint("", PORT))


def test_a_listener_whose_cgroup_is_gone(host: Host) -> None:
    host.learn(host.batch)
    assert host.resolve(Endpoint("", PORT)).cgroup == "/batch"
    host.kernel.remove_cgroup("/batch")
    assert "is not seen" in host.why_not(Endpoint("", PORT))


def test_without_probes_there_are_no_learnt_listeners(host: Host) -> None:
    resolver = Resolver(
        find_hierarchy(host.kernel.root), None, proc=host.kernel.proc, is_local=lambda _host: True
    )
    assert "nobody" in resolver.resolve(Endpoint("", PORT), host.slots).reason


def test_a_connection_is_no_listener(host: Host) -> None:
    assert "nobody" in host.why_not(Endpoint("", 0x1F99))


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        (Endpoint("", 0), "no port"),
        (Endpoint("", 65_536), "no port"),
        (Endpoint("", -1), "no port"),
        (Endpoint("192.0.2.1", 80), "no address of"),
    ],
)
def test_endpoints_that_cannot_be_ours(host: Host, endpoint: Endpoint, reason: str) -> None:
    assert reason in host.why_not(endpoint)


@pytest.mark.parametrize("name", ["localhost", "a b", "[::1]", "1.2.3", "\x00", "é", "1" * 9_999])
def test_names_and_garbage_are_unknown(host: Host, name: str) -> None:
    host.resolver._is_local = is_local_address
    assert "no IP address" in host.why_not(Endpoint(name, PORT))


@pytest.mark.parametrize(
    ("address", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("0.0.0.0", True),
        ("::1", True),
        ("::", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("224.0.0.1", False),
    ],
)
def test_local_addresses(address: str, is_local: bool) -> None:
    assert is_local_address(address) is is_local


def test_listener_cells_are_in_range_and_spread() -> None:
    cells = {listener_cell(port, 4_026_531_840) for port in range(1, 65_536)}
    assert min(cells) >= 0
    assert max(cells) < LISTENERS
    assert len(cells) > LISTENERS * 0.9


def test_this_process_and_its_own_listener_are_found_on_this_host() -> None:
    hierarchy = find_hierarchy()
    resolver = Resolver(hierarchy, None)
    found = resolver.resolve(os.getpid(), [OTHER])
    assert found.is_known
    with socket.create_server(("127.0.0.1", 0)) as server:
        served = resolver.resolve(Endpoint("127.0.0.1", server.getsockname()[1]), [OTHER])
    assert served.is_known is (hierarchy.name == "v2")
    assert served.is_known or "v1" in served.reason
