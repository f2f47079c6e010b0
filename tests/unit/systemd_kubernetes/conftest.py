# SPDX-License-Identifier: MIT
"""What the manifests say, and the two programs they run, for the tests of both."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

SYSTEMD = Path(__file__).parents[3] / "systemd"


def _program(name: str) -> ModuleType:
    """Read a program that lies in no package."""
    spec = importlib.util.spec_from_file_location(name, SYSTEMD / f"kubernetes/{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def pods() -> ModuleType:
    # Its metrics are registered once, so it is read once.
    return _program("pods")


@pytest.fixture(scope="session")
def with_pods() -> ModuleType:
    return _program("with_pods")


@pytest.fixture(scope="session")
def systemd() -> Path:
    return SYSTEMD


@pytest.fixture(scope="session")
def daemonset() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(
        (SYSTEMD / "kubernetes/observe/daemonset.yaml").read_text()
    )
    return loaded


@pytest.fixture(scope="session")
def patch() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(
        (SYSTEMD / "kubernetes/pods/daemonset.yaml").read_text()
    )
    return loaded
