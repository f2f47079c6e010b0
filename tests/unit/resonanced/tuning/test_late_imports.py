# SPDX-License-Identifier: MIT
"""A process that may read no code any more must not need any: judging imports nothing."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import numpy as np
import resonanced.tuning.loop
from resonance_bpf.layouts import BUCKET_UPPER_NS
from resonance_tuning.trials.evidence import Window, compare
window = Window(np.full((10, len(BUCKET_UPPER_NS)), 50, np.uint64), None, 0, 10.0)
before = set(sys.modules)
assert compare(window, window, window, BUCKET_UPPER_NS).word == "undone"
print(sorted(set(sys.modules) - before))
"""


def test_a_judgement_reads_no_module_at_first_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
