# SPDX-License-Identifier: MIT
"""The daemon may read no file once it has given up its rights, so nothing is imported late."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[3]
SCRIPT = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from fakes.periodic_node import aligned_node
node = aligned_node()
before = set(sys.modules)
node.register()
node.run(9.0)
node.controller.explain(0)
node.controller.set_mode("shadow", node.now)
node.run(9.0)
node.controller.stop(node.now)
node.depart()
late = sorted(set(sys.modules) - before)
print(late)
sys.exit(bool(late) or "scipy" in sys.modules)
"""


def test_a_controller_at_work_imports_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(TESTS), str(TESTS.parent / "sdk")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
