# SPDX-License-Identifier: MIT
"""Which kernels are tested, on which box, and where do their files lie?"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernel_vms.errors import NoSuchMachineError

CHECKOUT = Path(__file__).resolve().parents[2]
MATRIX = CHECKOUT / "vagrant" / "kernels.toml"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel of the matrix: metapackages from a suite, on a box."""

    name: str
    box: str
    suite: str
    packages: tuple[str, ...]
    release: str
    seen: str


@dataclass(frozen=True, slots=True)
class Box:
    """A root file system, with every kernel of the matrix that boots on it."""

    name: str
    python: str
    suites: tuple[str, ...]
    packages: tuple[str, ...]
    kernels: tuple[Kernel, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """What ``kernels.toml`` says; tests go by their paths below ``tests``."""

    boxes: dict[str, Box]
    kernels: dict[str, Kernel]
    public_boxes: dict[str, str]
    emulated: tuple[str, ...]
    emulated_few: tuple[str, ...]
    elsewhere: dict[str, str]

    def kernel(self, name: str) -> Kernel:
        """Give a kernel by its name, or say which there are."""
        if name not in self.kernels:
            raise NoSuchMachineError(name, self.kernels)
        return self.kernels[name]

    def box_of(self, kernel: str) -> Box:
        """Give the box a kernel boots on."""
        return self.boxes[self.kernel(kernel).box]


def read_matrix(path: Path = MATRIX) -> Matrix:
    """Read the matrix; a key that is missing or too many is a fault of the file."""
    document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    kernels = {
        name: Kernel(name=name, packages=tuple(row.pop("packages")), **row)
        for name, row in document["kernels"].items()
    }
    packages = tuple(name for names in document["packages"].values() for name in names)
    rows: dict[str, dict[str, Any]] = document["boxes"]
    public = {name: row.pop("public_box") for name, row in (rows | document["public"]).items()}
    boxes = {
        name: Box(
            name=name,
            suites=tuple(row.pop("suites")),
            packages=packages,
            kernels=tuple(kernel for kernel in kernels.values() if kernel.box == name),
            **row,
        )
        for name, row in rows.items()
    }
    emulated = document["emulated"]
    return Matrix(
        boxes,
        kernels,
        public,
        emulated=(*emulated["privileged"], "vm"),
        emulated_few=tuple(emulated["few"]),
        elsewhere=document["elsewhere"],
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of the machines lie: in ``build/vm`` of a checkout."""

    checkout: Path = CHECKOUT

    @property
    def root(self) -> Path:
        """Where all of it is."""
        return self.checkout / "build" / "vm"

    @property
    def lock(self) -> Path:
        """Held by the one build, or the one machine, that may go on here."""
        return self.root / "lock"

    @property
    def run(self) -> Path:
        """What a running machine needs, and nobody after it."""
        return self.root / "run"

    def box(self, name: str) -> Path:
        """Where a box lies when it is made."""
        return self.root / name

    def results(self, kernel: str) -> Path:
        """Where what came out of a machine is put."""
        return self.root / "results" / kernel

    def debs(self, suite: str) -> Path:
        """Where our packages for a suite lie."""
        return self.checkout / "build" / "deb" / suite

    def wheels(self, suite: str) -> Path:
        """Where the wheels of the tests for a suite lie."""
        return self.checkout / "build" / "wheels" / suite
