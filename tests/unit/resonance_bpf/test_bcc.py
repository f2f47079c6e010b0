# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from fakes.btf import kernel_with
from resonance_bpf import canary, syscalls, tracefs
from resonance_bpf.backends import bcc
from resonance_bpf.catalogue import MAPS, PROGRAMS
from resonance_bpf.errors import ProbeRejectedError, ProbeUnsupportedError, ToolchainError
from resonance_bpf.headers import members_read
from resonance_bpf.report import CanaryResult, LoadReport, LoadRequest, ProgramReport

VERDICT = CanaryResult(
    switches_seen=46, switches_expected=46, wait_seen_ns=9_000, wait_expected_ns=9_000
)
VERIFIER = b"0: R1=ctx()\nR6 unbounded memory access\nprocessed 881 insns (limit 1000000)\n"


class FakeBcc(ModuleType):
    """BCC as far as the backend touches it: what it compiles, loads and attaches, it remembers."""

    def __init__(self) -> None:
        super().__init__("bcc")
        self.lib = object()
        self.text = ""
        self.flags: list[str] = []
        self.kernel_source = ""
        self.refused: frozenset[str] = frozenset()
        self.attached: list[str] = []
        self.compile_noise = b""
        backend = self

        class BPF:
            RAW_TRACEPOINT, TRACEPOINT = 17, 5

            def __init__(self, text: str, cflags: list[str]) -> None:
                backend.text, backend.flags = text, cflags
                backend.kernel_source = os.environ["BCC_KERNEL_SOURCE"]
                self.raw_tracepoint_fds: dict[bytes, int] = {}
                if backend.compile_noise:
                    os.write(2, backend.compile_noise)
                    raise Exception("Failed to compile BPF module <text>")

            def __getitem__(self, _name: bytes) -> SimpleNamespace:
                return SimpleNamespace(map_fd=3)

            def load_func(self, name: bytes, _kind: int) -> SimpleNamespace:
                if name.decode() in backend.refused:
                    os.write(2, VERIFIER)
                    raise Exception(f"Failed to load {name!r}")
                return SimpleNamespace(fd=4)

            def attach_raw_tracepoint(self, tp: bytes, fn_name: bytes) -> None:
                self.raw_tracepoint_fds[tp] = 5
                backend.attached.append(fn_name.decode())

            def attach_tracepoint(self, tp: bytes, fn_name: bytes) -> None:
                backend.attached.append(f"{tp.decode()}={fn_name.decode()}")

        self.BPF = BPF


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeBcc:
    module = FakeBcc()
    monkeypatch.setitem(sys.modules, "bcc", module)
    monkeypatch.setattr(canary, "check", lambda *_: VERDICT)
    monkeypatch.setenv("BCC_KERNEL_SOURCE", "")
    return module


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Stand in for the BPF file system and the BPF system calls."""
    pins: dict[str, int] = {}
    monkeypatch.setattr(
        syscalls, "object_pin", lambda fd, path: pins.__setitem__(Path(path).name, fd)
    )
    monkeypatch.setattr(syscalls, "map_freeze", lambda _fd: None)
    monkeypatch.setattr(
        syscalls, "open_tracepoint", lambda _number: os.open(os.devnull, os.O_RDONLY)
    )
    monkeypatch.setattr(syscalls, "link_perf_event", lambda _program, _event: 6)
    return pins


@pytest.fixture
def load(tmp_path: Path, pinned: dict[str, int]) -> Callable[..., LoadReport]:
    """Load on a kernel that has every member and tracepoint, unless told otherwise."""

    def on(
        *,
        tracepoints: frozenset[str] = frozenset(p.tracepoint for p in PROGRAMS),
        has_btf: bool = True,
        possible_cpus: int = 2,
    ) -> LoadReport:
        btf_file = tmp_path / "vmlinux"
        if has_btf:
            btf_file.write_bytes(kernel_with(members_read("v2"), sorted(tracepoints)).data())
        directory = tmp_path / "pins"
        directory.mkdir()
        request = LoadRequest(
            directory=str(directory),
            possible_cpus=possible_cpus,
            hierarchy="v2",
            root_cgroup_id=1,
        )
        return bcc.load(request, btf_file=btf_file)

    return on


@pytest.fixture
def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for tracefs with every event but the one that came with Linux 6.3."""
    for category, event in (
        ("sched", "sched_switch"),
        ("sched", "sched_wakeup"),
        ("sched", "sched_wakeup_new"),
        ("tcp", "tcp_probe"),
        ("sock", "inet_sock_set_state"),
        ("tcp", "tcp_rcv_space_adjust"),
        ("tcp", "tcp_retransmit_skb"),
    ):
        directory = tmp_path / "tracing" / "events" / category / event
        directory.mkdir(parents=True)
        (directory / "format").write_text("\tfield:int some;\toffset:8;\tsize:4;\tsigned:1;\n")
        (directory / "id").write_text("7\n")
    monkeypatch.setattr(bcc, "open_tracefs", lambda: tracefs.Tracefs(tmp_path / "tracing"))


def _reasons(report: LoadReport) -> dict[str, str]:
    return {program.name: program.reason for program in report.programs if not program.attached}


def test_without_bcc_the_package_to_install_is_named(
    monkeypatch: pytest.MonkeyPatch, load: Callable[..., LoadReport]
) -> None:
    monkeypatch.setitem(sys.modules, "bcc", None)
    with pytest.raises(ToolchainError, match="apt-get install python3-bpfcc"):
        load()


def test_the_library_that_only_shares_the_name_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, load: Callable[..., LoadReport]
) -> None:
    other = ModuleType("bcc")
    other.__file__ = "/site-packages/bcc/__init__.py"
    monkeypatch.setitem(sys.modules, "bcc", other)
    with pytest.raises(ToolchainError, match=r"bcc/__init__\.py is another library of that name"):
        load()


def test_a_binding_without_its_library_says_what_does_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[..., LoadReport]
) -> None:
    (tmp_path / "bcc.py").write_text(
        'raise OSError("libbcc.so.0: cannot open shared object file")\n'
    )
    monkeypatch.delitem(sys.modules, "bcc", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ToolchainError, match=r"libbcc\.so\.0: cannot open"):
        load()


def test_every_map_and_program_of_the_catalogue_is_pinned(
    fake: FakeBcc, load: Callable[..., LoadReport], pinned: dict[str, int]
) -> None:
    report = load()
    assert (report.backend, report.tier, report.canary) == ("bcc", "bcc", VERDICT)
    assert all(program.attached for program in report.programs)
    names = [program.name for program in PROGRAMS]
    expected = [f"map_{name}" for name in MAPS]
    expected += [f"{kind}_{name}" for name in names for kind in ("link", "prog")]
    assert sorted(pinned) == sorted(expected)
    assert report.loader_pid == 0


def test_maps_are_sized_by_possible_cpus_at_compilation(
    fake: FakeBcc, load: Callable[..., LoadReport]
) -> None:
    load(possible_cpus=64)
    assert {"-DPOSSIBLE_CPUS=64", "-DBINS_PER_CPU=256", "-DIS_V1=0"} <= set(fake.flags)


def test_the_headers_are_gone_after_the_compilation(
    fake: FakeBcc, load: Callable[..., LoadReport]
) -> None:
    load()
    assert "resonance-headers-" in fake.kernel_source
    assert not Path(fake.kernel_source).exists()


def test_a_compilers_error_is_kept_in_its_words(
    fake: FakeBcc, load: Callable[..., LoadReport], capfd: pytest.CaptureFixture[str]
) -> None:
    fake.compile_noise = b"note: here\nmain.c:1:26: error: use of undeclared identifier 'y'\n"
    with pytest.raises(ToolchainError, match=r"compile: .*undeclared identifier 'y'"):
        load()
    assert capfd.readouterr().err == ""


def test_a_refused_runqueue_program_fails_the_load_with_the_verifiers_words(
    fake: FakeBcc, load: Callable[..., LoadReport]
) -> None:
    fake.refused = frozenset({"runqueue_switch"})
    with pytest.raises(ProbeRejectedError, match=r"load: .*R6 unbounded memory access$"):
        load()


def test_a_refused_socket_program_is_reported_and_the_rest_attached(
    fake: FakeBcc, load: Callable[..., LoadReport], pinned: dict[str, int]
) -> None:
    fake.refused = frozenset({"socket_receive"})
    reasons = _reasons(load())
    assert list(reasons) == ["socket_receive"]
    assert "R6 unbounded memory access" in reasons["socket_receive"]
    assert "link_socket_srtt" in pinned
    assert "link_socket_receive" not in pinned


def test_a_tracepoint_the_kernel_lacks_is_reported_and_compiled_out(
    fake: FakeBcc, load: Callable[..., LoadReport]
) -> None:
    tracepoints = frozenset(p.tracepoint for p in PROGRAMS) - {"sk_data_ready"}
    assert _reasons(load(tracepoints=tracepoints)) == {
        "socket_ready": "the kernel has no such tracepoint"
    }
    assert "-DHAS_DATA_READY=0" in fake.flags


@pytest.mark.usefixtures("traced")
def test_without_btf_the_tracefs_tier_is_taken_and_says_why(
    fake: FakeBcc, load: Callable[..., LoadReport], pinned: dict[str, int]
) -> None:
    report = load(has_btf=False)
    assert (report.tier, report.canary, report.loader_pid) == ("bcc-tracefs", None, 0)
    assert "CONFIG_DEBUG_INFO_BTF" in report.rejected[0].reason
    assert {"link_runqueue_wakeup", "link_runqueue_wakeup_new", "link_runqueue_switch"} <= set(
        pinned
    )


@pytest.mark.usefixtures("traced")
def test_an_event_tracefs_lacks_is_reported_and_compiled_out(
    fake: FakeBcc, load: Callable[..., LoadReport]
) -> None:
    report = load(has_btf=False)
    missing = ProgramReport(
        name="socket_ready", attached=False, reason="the kernel has no such tracepoint"
    )
    assert missing in report.programs
    assert {"-DHAS_SOCKET_READY=0", "-DHAS_SOCKET_SRTT=1", "-DHAS_PROBE_ADDRESS=0"} <= set(
        fake.flags
    )


@pytest.mark.usefixtures("traced")
def test_where_the_kernel_cannot_pin_a_tracepoint_the_loader_must_stay(
    fake: FakeBcc, load: Callable[..., LoadReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_program: int, _event: int) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(syscalls, "link_perf_event", refuse)
    report = load(has_btf=False)
    assert report.loader_pid == os.getpid()
    assert "sched:sched_switch=runqueue_switch" in fake.attached


@pytest.mark.usefixtures("traced")
def test_a_kernel_too_paranoid_for_tracefs_is_told_with_what_lets_us_in(
    fake: FakeBcc, load: Callable[..., LoadReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_number: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", "perf_event_open")

    monkeypatch.setattr(syscalls, "open_tracepoint", refuse)
    with pytest.raises(ProbeRejectedError, match=r"Permission denied; set kernel\.perf_event_para"):
        load(has_btf=False)


def test_with_neither_btf_nor_tracefs_the_mount_command_is_named(
    fake: FakeBcc, load: Callable[..., LoadReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> tracefs.Tracefs:
        raise ProbeUnsupportedError("tracefs", "not mounted", "run: mount -t tracefs")

    monkeypatch.setattr(bcc, "open_tracefs", refuse)
    with pytest.raises(ProbeUnsupportedError, match="run: mount -t tracefs"):
        load(has_btf=False)
