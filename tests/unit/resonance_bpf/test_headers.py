# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from fakes.btf import kernel_with, scheduler_types
from resonance_bpf import headers
from resonance_bpf.btf import KERNEL_BTF, Btf
from resonance_bpf.errors import ProbeUnsupportedError
from resonance_bpf.report import Hierarchy

PATHS = (
    "task_struct.pid",
    "task_struct.sched_info.last_queued",
    "task_struct.sched_info.run_delay",
    "task_struct.half",
    "task_struct.rq",
    "task_struct.comm",
    "rq.clock",
)
PROGRAMS = Path(headers.__file__).parent / "programs"


def _compile(text: str, *flags: str) -> None:
    compiler = shutil.which("clang") or shutil.which("cc")
    assert compiler, "no C compiler: apt-get install clang"
    command = [compiler, "-x", "c", "-Wall", "-Werror", "-fsyntax-only", *flags, "-"]
    done = subprocess.run(command, check=False, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def small() -> Btf:
    return Btf(scheduler_types().data())


def test_c_sees_every_member_at_the_kernels_offset(small: Btf) -> None:
    checks = [headers.kernel_header(small, PATHS)]
    for path in PATHS:
        structure, _, member = path.partition(".")
        found = small.member(path)
        of, whole = f"struct {structure}, {member}", f"((struct {structure} *)0)->{member}"
        checks += [
            f'_Static_assert(__builtin_offsetof({of}) == {found.offset_bytes}, "{path}");',
            f'_Static_assert(sizeof({whole}) == {found.size_bytes}, "{path}");',
        ]
    checks.append('_Static_assert(sizeof(struct task_struct) == 128, "");')
    _compile("\n".join(checks))


def test_types_keep_their_sign_and_what_they_point_to(small: Btf) -> None:
    header = headers.kernel_header(small, PATHS)
    assert "signed int pid;" in header
    assert "unsigned long long clock;" in header
    assert "struct rq *rq;" in header


def test_only_the_members_read_are_there(small: Btf) -> None:
    assert "comm" not in headers.kernel_header(small, ("task_struct.pid",))


def test_a_bit_field_is_refused(small: Btf) -> None:
    with pytest.raises(ProbeUnsupportedError, match=r"flags\.high: is a bit-field"):
        headers.kernel_header(small, ("flags.high",))


def test_a_kernel_without_a_member_is_refused_and_the_member_named(
    small: Btf, tmp_path: Path
) -> None:
    with pytest.raises(ProbeUnsupportedError, match=r"task_struct\.prio"):
        headers.write_tree(small, "v2", tmp_path)
    assert not list(tmp_path.iterdir())


def test_each_hierarchy_asks_for_its_own_members() -> None:
    v1, v2 = (set(headers.members_read(cast(Hierarchy, name))) for name in ("v1-cpu", "v2"))
    assert "task_struct.sched_task_group" in v1 - v2
    assert "sock.sk_cgrp_data.cgroup" in v2 - v1


def test_every_member_the_programs_read_is_asked_for() -> None:
    """A member of the kernel is reached by ``->`` in bcc.h and raw.bcc.c, and only there."""
    source = "".join((PROGRAMS / name).read_text() for name in ("bcc.h", "raw.bcc.c"))
    read = set(re.findall(r"&\(?\(?[\w *()]+->([\w.]+)", source))
    asked = {
        path.partition(".")[2]
        for name in ("v1-cpu", "v2")
        for path in headers.members_read(cast(Hierarchy, name))
    }
    known = asked | {path.partition(".")[0] for path in asked}
    assert read
    assert read <= known


def test_the_stubs_know_this_kernels_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release="5.15.300-generic"))
    headers.write_stubs(tmp_path)
    text = (tmp_path / "include/linux/version.h").read_text()
    assert f"LINUX_VERSION_CODE {(5 << 16) + (15 << 8) + 255}" in text


def test_a_release_without_a_number_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release="custom"))
    with pytest.raises(ProbeUnsupportedError, match="'custom'"):
        headers.write_stubs(tmp_path)


def test_the_tree_is_the_nine_files_bcc_looks_for(tmp_path: Path) -> None:
    kernel = Btf(kernel_with(headers.members_read("v2")).data())
    headers.write_tree(kernel, "v2", tmp_path)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.h")}
    assert found == {
        "include/asm/page.h",
        "include/linux/bpf_common.h",
        "include/linux/kconfig.h",
        "include/linux/log2.h",
        "include/linux/types.h",
        "include/linux/version.h",
        "include/resonance/kernel.h",
        "include/uapi/linux/bpf.h",
        "include/uapi/linux/if_packet.h",
    }


@pytest.mark.skipif(not KERNEL_BTF.exists(), reason="this kernel has no BTF")
@pytest.mark.parametrize("hierarchy", ["v2", "v1-cpu"])
def test_the_running_kernels_header_compiles(hierarchy: Hierarchy) -> None:
    kernel = Btf.from_file()
    missing = [p for p in headers.members_read(hierarchy) if not kernel.has_member(p)]
    if missing:
        pytest.skip(f"this kernel has no {missing[0]}")
    _compile(headers.kernel_header(kernel, headers.members_read(hierarchy)))
