# SPDX-License-Identifier: MIT
"""Compile the BPF objects into the wheel, where clang and the kernel's BTF are there to do it."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BTF = Path("/sys/kernel/btf/vmlinux")


class ObjectsHook(BuildHookInterface[Any]):
    """Run ``make bpf`` before a wheel is packed; an editable install leaves that to make."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the objects and name the machine they are for, or say what is missing."""
        if self.target_name != "wheel" or version == "editable":
            return
        missing = [tool for tool in ("clang", "make") if shutil.which(tool) is None]
        if missing or not BTF.exists():
            lacks = ", ".join([*missing, *([] if BTF.exists() else [str(BTF)])])
            self.app.display_warning(
                f"wheel without BPF objects, only --backend bcc or none: no {lacks}"
            )
            return
        subprocess.run(["make", "bpf"], cwd=self.root, check=True)
        build_data["artifacts"].append("/bpf/resonance_bpf/objects/*.bpf.o")
        build_data["tag"] = f"py3-none-linux_{platform.machine()}"
