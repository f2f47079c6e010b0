# SPDX-License-Identifier: MIT
"""What does the service do where the kernel or the packages offer less?"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from privileged.running import Place

NO_BTF = "mount -t tmpfs none /sys/kernel/btf"
NO_LIBBPF = (
    "for library in $(ldconfig -p | awk '/libbpf.so.1 /{print $NF}'); do"
    " mount --bind /dev/null $(readlink -f $library); done"
)


def _run_where(place: Place, hide: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run the service for a moment in a mount namespace in which something is missing."""
    command = place.command("run", "--for", "0.5", *flags)
    script = f'{hide} && exec "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _backend_line(said: str) -> str:
    return next(line for line in said.splitlines() if line.startswith("  backend"))


def test_backend_none_measures_without_bpf_and_says_so(place: Place) -> None:
    service = place.start("--backend", "none")
    assert "backend  none, tier procfs" in service.said
    assert place.generations() == []
    backends = [dict(labels) for labels in service.metrics()["resonance_backend_info"]]
    assert [(row["backend"], row["tier"]) for row in backends] == [("none", "procfs")]
    capabilities = Path(f"/proc/{service.daemon.pid}/status").read_text(encoding="utf-8")
    assert "CapEff:\t0000000000000000" in capabilities
    assert service.stop() == 0
    assert place.left_behind() == []


def test_without_btf_it_takes_the_next_backend_and_says_why_not_the_best(place: Place) -> None:
    ran = _run_where(place, NO_BTF)
    assert ran.returncode == 0, ran.stderr
    assert "backend  bcc, tier bcc-tracefs" in _backend_line(ran.stdout)
    assert "not core: /sys/kernel/btf/vmlinux: this kernel has no BTF" in ran.stdout
    assert place.left_behind() == []


def test_without_libbpf_and_so_without_bcc_it_takes_no_bpf_and_says_why_twice(
    place: Place,
) -> None:
    ran = _run_where(place, NO_LIBBPF)
    assert ran.returncode == 0, ran.stderr
    assert "backend  none, tier procfs" in _backend_line(ran.stdout)
    assert "not core: libbpf" in ran.stdout
    assert "not bcc: " in ran.stdout
    assert place.left_behind() == []


def test_a_backend_that_was_asked_for_is_taken_or_refused_never_replaced(place: Place) -> None:
    ran = _run_where(place, NO_BTF, "--backend", "core")
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert "backend core: /sys/kernel/btf/vmlinux: this kernel has no BTF" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert place.left_behind() == []


def test_where_no_bpf_file_system_is_mounted_it_mounts_its_own_and_nobody_sees_it(
    place: Place,
) -> None:
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    empty = place.config.parent / "bpf"
    empty.mkdir()
    place.write_config(probes={"bpffs_directory": str(empty)})
    service = place.start()
    assert "backend  core" in service.said
    assert list(empty.iterdir()) == []
    assert Path("/proc/self/mounts").read_text(encoding="utf-8") == mounts
    assert service.stop() == 0
    assert place.left_behind() == []


@pytest.mark.parametrize(
    ("hide", "tier", "missing"),
    [("true", "core", ""), (NO_BTF, "bcc-tracefs", "BTF"), (NO_LIBBPF, "procfs", "libbpf 1")],
)
def test_check_foretells_the_tier_and_names_what_is_missing(
    hide: str, tier: str, missing: str, place: Place
) -> None:
    command = place.command("check", "--output", "json")
    checked = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{hide} && exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    document = json.loads(checked.stdout)
    assert document["tier"] == tier
    assert checked.returncode == document["exit_status"] == (3 if missing else 0)
    absent = [row["name"] for row in document["features"] if not row["is_there"]]
    assert missing in absent or not missing
