# SPDX-License-Identifier: MIT
"""Does shadow say what active will bring?

Prediction and what was realised are ratios of the p99 of the requests' waits: predicted by the
controller in shadow, realised by the least discrepancy there is. Each within `WITHIN` of the
other for every seed, and within `ON_THE_WHOLE` over the seeds of a scenario.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from resonance_core.simulation import Scenario, reference_scenario
from resonance_core.simulation.arms import oracle, untouched
from resonance_core.simulation.run import Trace, run
from resonance_core.simulation.shipped import Shipped
from resonance_core.simulation.workload import draw_workload

WITHIN = 1.6
ON_THE_WHOLE = 1.4

SCENARIOS = {
    "four aligned": reference_scenario(4, 0.75),
    "eight aligned": reference_scenario(8, 0.75),
    "sixteen aligned": reference_scenario(16, 0.60),
    "sixteen aligned, busy": reference_scenario(16, 0.85),
    "sixty-four aligned": reference_scenario(64, 0.75),
    "eight that nobody aligned": reference_scenario(8, 0.75, start="random"),
    "sixteen that nobody aligned": reference_scenario(16, 0.75, start="random"),
    "a tenth is periodic": reference_scenario(16, 0.75, periodic_ratio=0.1),
    "a third is periodic": reference_scenario(16, 0.75, periodic_ratio=0.35),
    "two periods": reference_scenario(16, 0.75, periods_seconds=(0.1, 0.05)),
    "equal shares": replace(reference_scenario(16, 0.75), discipline="sharing"),
    "equal shares, one thread each": replace(
        reference_scenario(
            8, 0.82, periodic_ratio=0.63, cores=2, job_seconds=1.0, service="constant"
        ),
        discipline="sharing",
    ),
}


def _p99(trace: Trace) -> float:
    is_judged = trace.workload.request_seconds >= trace.workload.scenario.warmup_seconds
    return float(np.quantile(trace.request_wait_seconds[is_judged], 0.99))


def _predicted_by_realised(scenario: Scenario, seed: int) -> float:
    workload = draw_workload(scenario, seed)
    arm = Shipped(workload, seed, "shadow")
    natural = _p99(run(workload, arm))
    assert natural == pytest.approx(_p99(run(workload, untouched(workload))))
    assert arm.decision is not None
    predicted = arm.decision.groups[0].predicted_ratio
    return predicted / (_p99(run(workload, oracle(workload))) / natural)


@pytest.mark.parametrize("name", SCENARIOS)
def test_shadow_predicts_what_the_plan_brings(name: str) -> None:
    by_seed = [_predicted_by_realised(SCENARIOS[name], seed) for seed in range(3)]
    assert all(1.0 / WITHIN < each < WITHIN for each in by_seed), by_seed
    mean = math.exp(float(np.mean(np.log(by_seed))))
    assert 1.0 / ON_THE_WHOLE < mean < ON_THE_WHOLE, by_seed
