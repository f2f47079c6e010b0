# SPDX-License-Identifier: MIT
"""What do wrk2 and k6 say of the same load?

::

    k6_scripts      a load as a script for k6
    k6_results      the points k6 wrote down, as a run
    k6_points       what a line of them says
    wrk2_scripts    a load as a shell script that runs wrk2
    wrk2_results    what wrk2 printed, as a run
    wrk2_spectra    its percentiles as a histogram
    marks           what an exported script tells of itself to whoever reads its results

What a tool cannot send is refused with what to do, and so is a result that does not hold what a
run needs. Neither tool knows how late it was, so an imported run has no lateness.
"""

from __future__ import annotations

from resonance.bench.foreign.k6_results import read_k6
from resonance.bench.foreign.k6_scripts import k6_script
from resonance.bench.foreign.wrk2_results import read_wrk2
from resonance.bench.foreign.wrk2_scripts import wrk2_command

__all__ = ["k6_script", "read_k6", "read_wrk2", "wrk2_command"]
