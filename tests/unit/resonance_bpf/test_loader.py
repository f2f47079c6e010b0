# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from resonance_bpf import loader
from resonance_bpf.errors import ProbeError, ProbeRejectedError, ToolchainError
from resonance_bpf.report import LoadReport, LoadRequest

pytestmark = pytest.mark.filterwarnings(
    # Forking is what this module does; under xdist the test process has threads.
    "ignore:.*multi-threaded, use of fork:DeprecationWarning"
)


@pytest.fixture
def request_here(tmp_path: Path) -> LoadRequest:
    return LoadRequest(directory=str(tmp_path), possible_cpus=2, hierarchy="v2", root_cgroup_id=1)


def _works(backend: str, tier: str) -> object:
    def load(request: LoadRequest) -> LoadReport:
        Path(request.directory, "map_of_" + backend).touch()
        return LoadReport(
            backend=backend,  # type: ignore[arg-type]
            tier=tier,  # type: ignore[arg-type]
            hierarchy=request.hierarchy,
            directory=request.directory,
        )

    return load


def _fails(request: LoadRequest) -> NoReturn:
    Path(request.directory, "map_half_done").touch()
    raise ProbeRejectedError("runqueue.bpf.o", "the verifier said no", "grant CAP_BPF")


def _crashes(request: LoadRequest) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _is_defective(request: LoadRequest) -> NoReturn:
    raise ZeroDivisionError


def _put(monkeypatch: pytest.MonkeyPatch, **backends: object) -> None:
    monkeypatch.setattr(loader, "_backend", lambda name: SimpleNamespace(**backends).__dict__[name])


def test_the_best_backend_that_works_is_taken(
    request_here: LoadRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(monkeypatch, core=_works("core", "core"), bcc=_works("bcc", "bcc"))
    report = loader.choose("auto", request_here)
    assert (report.backend, report.rejected) == ("core", ())


def test_a_rejected_backend_is_named_with_its_reason_and_leaves_no_pin(
    request_here: LoadRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _put(monkeypatch, core=_fails, bcc=_works("bcc", "bcc"))
    report = loader.choose("auto", request_here)
    assert report.backend == "bcc"
    (rejection,) = report.rejected
    assert rejection.backend == "core"
    assert "the verifier said no" in rejection.reason
    assert [path.name for path in tmp_path.iterdir()] == ["map_of_bcc"]


@pytest.mark.parametrize(
    ("defect", "reason"), [(_crashes, "SIGKILL"), (_is_defective, "exit status 1")]
)
def test_a_loader_that_dies_is_an_answer_like_any_other(
    defect: object,
    reason: str,
    request_here: LoadRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _put(monkeypatch, core=defect, bcc=_works("bcc", "bcc"))
    report = loader.choose("auto", request_here)
    assert report.backend == "bcc"
    assert reason in report.rejected[0].reason


def test_with_no_backend_left_there_is_the_tier_without_bpf_and_every_reason(
    request_here: LoadRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _put(monkeypatch, core=_fails, bcc=_fails)
    report = loader.choose("auto", request_here)
    assert (report.backend, report.tier) == ("none", "procfs")
    assert [rejection.backend for rejection in report.rejected] == ["core", "bcc"]
    assert list(tmp_path.iterdir()) == []


def test_a_named_backend_is_taken_or_refused_and_never_replaced(
    request_here: LoadRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(monkeypatch, core=_fails, bcc=_works("bcc", "bcc"))
    with pytest.raises(ProbeError, match="backend core: .*the verifier said no.*resonanced check"):
        loader.choose("core", request_here)


def test_asking_for_no_bpf_starts_no_loader(
    request_here: LoadRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(monkeypatch)
    report = loader.choose("none", request_here)
    assert (report.backend, report.tier, report.rejected) == ("none", "procfs", ())


def test_a_missing_library_keeps_its_hint_across_the_process_border(
    request_here: LoadRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks_libbpf(request: LoadRequest) -> NoReturn:
        raise ToolchainError("libbpf", "libbpf.so.1 was not found", "apt-get install libbpf1")

    _put(monkeypatch, core=lacks_libbpf)
    with pytest.raises(ProbeError, match="apt-get install libbpf1"):
        loader.choose("core", request_here)


def _is_slow(request: LoadRequest) -> NoReturn:
    Path(request.directory, str(os.getpid())).touch()
    signal.pause()
    raise AssertionError


def test_a_load_that_is_not_wanted_any_more_is_ended_and_no_other_is_tried(
    request_here: LoadRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(monkeypatch, core=_is_slow, bcc=_works("bcc", "bcc"))
    directory = Path(request_here.directory)
    with pytest.raises(loader.Stopped):
        loader.choose("auto", request_here, lambda: any(directory.iterdir()))
    (pid,) = [entry.name for entry in directory.iterdir()]
    assert not Path("/proc", pid).exists()
