# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from resonance_bpf import capabilities, socket_options
from resonance_bpf.backends import core
from resonance_bpf.capabilities import explained, missing
from resonance_bpf.errors import ProbeRejectedError

BPF, PERFMON, SYS_ADMIN, NET_ADMIN = 1 << 39, 1 << 38, 1 << 21, 1 << 12
GUESS = "Operation not permitted: libbpf: Failed to bump RLIMIT_MEMLOCK (err = -1)"


@pytest.mark.parametrize(
    ("held", "lacking"),
    [
        (BPF | PERFMON, ()),
        (SYS_ADMIN, ()),
        (PERFMON, ("CAP_BPF",)),
        (BPF | NET_ADMIN, ("CAP_PERFMON",)),
        (0, ("CAP_BPF", "CAP_PERFMON")),
    ],
)
def test_what_is_missing_is_what_is_not_effective(
    held: int, lacking: tuple[str, ...], tmp_path: Path
) -> None:
    status = tmp_path / "status"
    everything = "CapPrm:\t000001ffffffffff"
    status.write_text(f"Name:\tx\n{everything}\nCapEff:\t{held:016x}\n", encoding="ascii")
    assert missing(status=status) == lacking


def _lack(monkeypatch: pytest.MonkeyPatch, *names: str, uid: int = 0) -> None:
    monkeypatch.setattr(
        capabilities, "missing", lambda needed: tuple(name for name in needed if name in names)
    )
    monkeypatch.setattr(os, "geteuid", lambda: uid)


def test_where_a_capability_is_missing_no_guess_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _lack(monkeypatch, "CAP_BPF")
    reason, hint = explained(errno.EPERM, GUESS)
    assert reason == "Operation not permitted: missing CAP_BPF"
    assert hint == "grant CAP_BPF: CapabilityBoundingSet= of a unit, --cap-add of a container"


def test_who_is_not_root_is_told_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    _lack(monkeypatch, "CAP_BPF", "CAP_PERFMON", uid=1_000)
    reason = "Operation not permitted: missing CAP_BPF and CAP_PERFMON"
    assert explained(errno.EPERM, GUESS) == (reason, "run as root")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.E2BIG, None])
def test_what_is_no_matter_of_privilege_is_told_in_the_librarys_words(
    number: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _lack(monkeypatch, "CAP_BPF")
    assert explained(number, "R6 unbounded") == ("R6 unbounded", "")


def test_a_refusal_in_spite_of_all_capabilities_is_not_blamed_on_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _lack(monkeypatch)
    reason, hint = explained(errno.EPERM, GUESS)
    assert reason == GUESS
    assert "security module" in hint
    assert explained(errno.EACCES, "R6 unbounded") == ("R6 unbounded", ""), "the verifier's no"


class _Refusing:
    """A libbpf to which the kernel says no."""

    last_messages: list[str] = []  # noqa: RUF012 - emptied by who uses it, never filled

    def call(self, name: str, *_: object) -> None:
        if name == "bpf_object__load":
            raise PermissionError(errno.EPERM, "Operation not permitted")

    def children(self, *_: object) -> list[tuple[str, int]]:
        return []

    def words(self) -> str:
        return "libbpf: Failed to bump RLIMIT_MEMLOCK"


def test_both_who_load_by_libbpf_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _lack(monkeypatch, "CAP_BPF", "CAP_NET_ADMIN")
    library: object = _Refusing()
    with pytest.raises(ProbeRejectedError, match="missing CAP_BPF; grant CAP_BPF: "):
        core._load_object(library, 1, "canary")  # type: ignore[arg-type]
    option = SimpleNamespace(pack=lambda: b"")
    with pytest.raises(ProbeRejectedError, match="missing CAP_BPF and CAP_NET_ADMIN; grant"):
        socket_options._link(library, 1, option, 3)  # type: ignore[arg-type]
