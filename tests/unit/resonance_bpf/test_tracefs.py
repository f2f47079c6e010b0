# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
from pathlib import Path

import pytest

from resonance_bpf import syscalls
from resonance_bpf.errors import ProbeUnsupportedError
from resonance_bpf.tracefs import Tracefs, open_tracefs

FORMAT = """name: tcp_probe
ID: 1234
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;

\tfield:__u8 saddr[28];\toffset:8;\tsize:28;\tsigned:0;
\tfield:__u32 srtt;\toffset:100;\tsize:4;\tsigned:0;
\tfield:const void * skaddr;\toffset:128;\tsize:8;\tsigned:0;

print fmt: "srtt=%u", REC->srtt
"""


@pytest.fixture
def tracefs(tmp_path: Path) -> Tracefs:
    event = tmp_path / "events" / "tcp" / "tcp_probe"
    event.mkdir(parents=True)
    (event / "format").write_text(FORMAT)
    (event / "id").write_text("1234\n")
    return Tracefs(tmp_path)


def test_an_events_fields_are_read_with_their_arrays_and_pointers(tracefs: Tracefs) -> None:
    assert tracefs.fields("tcp", "tcp_probe") == {"common_type", "saddr", "srtt", "skaddr"}


def test_an_event_this_kernel_does_not_have_has_no_fields(tracefs: Tracefs) -> None:
    assert tracefs.fields("sock", "sk_data_ready") == frozenset()


def test_an_event_has_the_number_the_kernel_gave_it(tracefs: Tracefs) -> None:
    assert tracefs.event_id("tcp", "tcp_probe") == 1234


def test_a_mounted_tracefs_is_taken_as_it_is(
    tracefs: Tracefs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(syscalls, "mount")
    assert open_tracefs(tracefs.directory) == tracefs


def test_an_unmounted_one_is_mounted_out_of_the_hosts_sight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(syscalls, "unshare_mounts", lambda: done.append("unshare"))
    monkeypatch.setattr(syscalls, "mount", lambda kind, path: done.append(f"{kind} {path}"))
    open_tracefs(tmp_path)
    assert done == ["unshare", f"tracefs {tmp_path}"]


def test_where_it_cannot_be_mounted_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(syscalls, "unshare_mounts", refuse)
    with pytest.raises(ProbeUnsupportedError, match=f"run: mount -t tracefs tracefs {tmp_path}"):
        open_tracefs(tmp_path)
