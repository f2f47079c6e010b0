# SPDX-License-Identifier: MIT
"""Codes, their sentences and what the guides say about them agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from resonance import server
from resonance.policies import SENTENCES, Reason, load

DOCUMENTS = Path(__file__).parents[4] / "docs"
POLICIES = (DOCUMENTS / "policies.md").read_text(encoding="utf-8")
SERVER = (DOCUMENTS / "server.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([a-z_]+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def test_the_guide_has_each_reason_once_with_its_sentence_in_order() -> None:
    section = POLICIES.partition("## What the reasons mean\n")[2].partition("\n## ")[0]
    rows = [(code, sentence) for code, sentence, _ in ROW.findall(section)]
    assert rows == [(reason.value, SENTENCES[reason]) for reason in Reason]


def test_the_guide_has_each_refusal_of_a_server_with_its_sentence() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| 50[34] \| ([^|]+) \| [^|]+ \|$", SERVER, re.MULTILINE)
    assert rows == [(refusal.value, server.SENTENCES[refusal]) for refusal in server.Refusal]


@pytest.mark.parametrize("number", range(3))
def test_the_guide_compares_the_profiles_as_they_are(number: int) -> None:
    name = ("conservative", "balanced", "aggressive")[number]
    section = POLICIES.partition("## Choosing a profile\n")[2].partition("\n## ")[0]
    cells = {
        row[0]: row[1 + number]
        for row in (line.strip("| ").split(" | ") for line in section.splitlines() if "|" in line)
        if len(row) == 4
    }
    policy = load(name)
    hedge, retry, budget = policy.hedge, policy.retry, policy.budget
    assert hedge is not None
    assert retry is not None
    assert cells["extra requests, of those that succeed"] == f"{budget.ratio:.0%}".replace(
        "%", " %"
    )
    assert cells["of which a new service has"] == f"{budget.initial:g}"
    assert cells["saved up at most"] == f"{budget.cap:g}"
    quantile = 1.0 - budget.ratio if hedge.quantile is None else hedge.quantile
    assert cells["copy after the quantile"] == f"{quantile:.2f}"
    assert cells["latencies seen before the first copy"] == f"{hedge.min_samples:,}"
    assert cells["p99.9 by p95 that makes a copy worth it"] == f"{hedge.min_tail_ratio:g}"
    assert cells["copies of one call"].startswith(f"{hedge.max_hedges}")
    assert cells["attempts, copies and retries together"] == f"{policy.max_attempts}"
    assert cells["of which retries"] == f"{retry.max_attempts - 1}"
    assert cells["silence after the service asked for less"] == f"{hedge.pushback_silence:g} s"
