# SPDX-License-Identifier: MIT
from __future__ import annotations

import resource
import socket
from pathlib import Path
from typing import NoReturn

import pytest

from resonance_bpf.hierarchy import CgroupHierarchy
from resonance_bpf.report import LoadReport
from resonanced import link, privileges, service
from resonanced.config import Settings
from resonanced.errors import StartError
from resonanced.keeper import Inheritance
from resonanced.privileges import Identity
from resonanced.service import _allow_descriptors

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "after"),
    [
        (1_024, 524_288, 2_560, 2_560),
        (1_024, 2_000, 2_560, 2_000),
        (1_024, INFINITE, 2_560, 2_560),
        (4_096, 524_288, 2_560, 4_096),
        (INFINITE, INFINITE, 2_560, INFINITE),
    ],
)
def test_every_stream_may_have_a_descriptor_as_far_as_the_host_allows(
    soft: int, hard: int, wanted: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: limits.append(both))
    _allow_descriptors(wanted)
    assert limits[-1] == (after, hard)


def test_a_daemon_that_cannot_become_its_user_tells_the_keeper_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: Identity) -> NoReturn:
        raise StartError("resonance", "the daemon cannot become this user", "map it")

    monkeypatch.setattr(privileges, "drop", refuse)
    keeper, requests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    orders, unused = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with keeper, requests, orders, unused:
        inheritance = Inheritance(
            settings=Settings(),
            identity=Identity("resonance", "resonance", 995, 995, is_fallback=False),
            report=LoadReport(backend="none", tier="procfs", hierarchy="v2"),
            hierarchy=CgroupHierarchy("v2", Path("/sys/fs/cgroup"), 1),
            cpus=1,
            descriptors={},
            requests=requests,
            orders=orders,
            actuator=None,
        )
        assert service.run(inheritance) == 1
        said = link.decode_request(keeper.recv(8_192))
    reason = "resonance: the daemon cannot become this user; map it"
    assert said == link.Failed(reason=reason, exit_code=1)
