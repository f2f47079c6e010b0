# SPDX-License-Identifier: MIT
from __future__ import annotations

import doctest
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from resonance.errors import PolicyError
from resonance.policies import _profiles as profiles
from resonance.policies._profiles import PROFILES, load
from resonance.policies._records import BudgetPolicy, HedgePolicy, Policy, RetryPolicy

FOLDER = resources.files("resonance.policies") / "profiles"
BALANCED = Policy(hedge=HedgePolicy(), retry=RetryPolicy())


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


def refusal(path: Path, text: str) -> PolicyError:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    return caught.value


def keys(record: type[msgspec.Struct], path: str = "") -> dict[str, Any]:
    """Return each key of a record and of the records in it, with its default."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(record):
        kinds = get_args(field.type) or (field.type,)
        parts = [k for k in kinds if isinstance(k, type) and issubclass(k, msgspec.Struct)]
        if parts:
            found |= keys(parts[0], f"{path}{field.name}.")
        else:
            found[f"{path}{field.name}"] = field.default
    return found


def in_manual() -> dict[str, tuple[bool, str]]:
    """Return each key the manual has, whether it is set there, and its value as text."""
    text, table = (FOLDER / "balanced.toml").read_text(encoding="utf-8"), ""
    found: dict[str, tuple[bool, str]] = {}
    for line in text.splitlines():
        if header := re.fullmatch(r"(?:# )?\[([\w.]+)\]", line):
            table = f"{header[1]}."
        elif entry := re.fullmatch(r"(# )?(\w+) = (.+)", line):
            found[f"{table}{entry[2]}"] = (not entry[1], entry[3])
    return found


def test_balanced_is_what_the_records_default_to() -> None:
    assert load("balanced") == BALANCED


def test_conservative_costs_less_and_wants_more_proof() -> None:
    policy = load("conservative")
    assert policy.hedge is not None
    assert policy.retry is not None
    assert policy.budget.ratio == 0.02
    assert policy.hedge.min_tail_ratio == 5.0
    assert policy.retry.max_attempts == 2


def test_aggressive_spends_more() -> None:
    policy = load("aggressive")
    assert policy.hedge is not None
    assert policy.budget.ratio == 0.10
    assert policy.hedge.quantile == 0.9
    assert policy.hedge.min_tail_ratio == 2.0


@pytest.mark.parametrize("name", PROFILES)
def test_every_shipped_profile_keeps_the_guards(name: str) -> None:
    policy = load(name)
    assert policy.hedge is not None
    assert policy.hedge.idempotent_only
    assert policy.hedge.saturation_guard
    assert policy.max_attempts <= 3


def test_each_file_is_a_shipped_profile() -> None:
    assert {entry.name for entry in FOLDER.iterdir()} == {f"{name}.toml" for name in PROFILES}


def test_the_manual_has_every_key_there_is() -> None:
    there_are = {key for key in keys(Policy) if not key.endswith("retry_on")}
    assert set(in_manual()) - {"extends"} == there_are


def test_the_manual_shows_the_defaults() -> None:
    defaults = keys(Policy)
    shown = {k: v for k, (is_set, v) in in_manual().items() if is_set or defaults[k] is not None}
    for key, value in shown.items():
        if key == "extends":
            continue
        assert tomllib.loads(f"value = {value}")["value"] == defaults[key], key


@pytest.mark.parametrize("name", PROFILES)
def test_every_key_of_a_shipped_profile_is_explained(name: str) -> None:
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    for paragraph in re.split(r"\n\n", text):
        entries = re.findall(r"^(?:# )?(\w+) = ", paragraph, re.MULTILINE)
        if entries and entries != ["extends"]:
            assert len(entries) == 1, entries
            assert re.search("Default|Balanced", paragraph), entries


def test_a_path_may_be_text(profile: Path) -> None:
    profile.write_text("timeout = 2.0", encoding="utf-8")
    assert load(str(profile)) == Policy(timeout=2.0)


def test_an_empty_profile_is_the_empty_policy(profile: Path) -> None:
    profile.write_text("", encoding="utf-8")
    assert load(profile) == Policy()


def test_a_profile_that_extends_another_needs_only_what_it_changes(profile: Path) -> None:
    profile.write_text('extends = "balanced"\n[budget]\nratio = 0.2', encoding="utf-8")
    assert load(profile) == BALANCED.replace(budget=BudgetPolicy(ratio=0.2))


def test_one_may_extend_what_extends_another(profile: Path) -> None:
    profile.write_text('extends = "conservative"\ntimeout = 1', encoding="utf-8")
    assert load(profile) == load("conservative").replace(timeout=1.0)


def test_false_switches_off_what_the_extended_profile_has(profile: Path) -> None:
    text = 'extends = "balanced"\nhedge = false\n[choice]\nejection = false'
    profile.write_text(text, encoding="utf-8")
    policy = load(profile)
    assert (policy.hedge, policy.choice.ejection) == (None, None)
    assert policy.retry == RetryPolicy()


def test_false_is_still_false_where_true_or_false_is_asked_for(profile: Path) -> None:
    profile.write_text("[retry]\nbrake = false", encoding="utf-8")
    assert load(profile).retry == RetryPolicy(brake=False)


def test_a_part_that_is_needed_cannot_be_switched_off(profile: Path) -> None:
    error = refusal(profile, "budget = false")
    assert str(error) == f"{profile}: budget: must be a table, not true or false"


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("[hedge]\nmin_dely = 1", "hedge.min_dely", "is not known; min_delay is"),
        ("[hegde]\ndelay = 1", "hegde", "is not known; hedge is"),
        ("[choice.ejection]\nwindo = 1", "choice.ejection.windo", "is not known; window is"),
        (
            "[limit]\nxyz = 1",
            "limit.xyz",
            "is not known; algorithm, initial, smallest, largest are",
        ),
        ('[hedge]\ndelay = "10ms"', "hedge.delay", "must be a number, not a text"),
        ("[hedge]\nmax_hedges = 1.5", "hedge.max_hedges", "must be a whole number, not a number"),
        ("[retry]\nbrake = 1", "retry.brake", "must be true or false, not a whole number"),
        ("[retry]\nmultiplier = true", "retry.multiplier", "must be a number, not true or false"),
        ("retry = 3", "retry", "must be a table, not a whole number"),
        ("timeout = [1]", "timeout", "must be a number, not a list"),
        (
            '[limit]\nalgorithm = "vegan"',
            "limit.algorithm",
            "must be one of gradient2, vegas, not 'vegan'",
        ),
        ("[limit]\nalgorithm = 1", "limit.algorithm", "must be one of gradient2, vegas, not 1"),
        (
            "[retry]\nbase_delay = -0.1",
            "retry.base_delay",
            "must be seconds, 0 or more, not -0.1",
        ),
        ("[retry]\nbase_delay = nan", "retry.base_delay", "must be seconds, 0 or more, not nan"),
        ("[retry]\nmax_delay = inf", "retry.max_delay", "must be seconds, 0.02 or more, not inf"),
        ("[budget]\nratio = -1", "budget.ratio", "must be between 0 and 1, not -1.0"),
        ("timeout = 0", "timeout", "must be seconds, above 0, not 0.0"),
        (
            "[choice.ejection]\nwindow = 0",
            "choice.ejection.window",
            "must be seconds, above 0, not 0.0",
        ),
        (
            '[retry]\nretry_on = ["OSError"]',
            "retry.retry_on",
            "cannot be set in a file: exception types are for code",
        ),
        (
            'extends = "brave"',
            "extends",
            "must be one of conservative, balanced, aggressive, not 'brave'",
        ),
        (
            "extends = 3",
            "extends",
            "must be one of conservative, balanced, aggressive, not 3",
        ),
        (
            "[hedge]\ndelay = 2024-01-01",
            "hedge.delay",
            "must be a number, not a date",
        ),
    ],
)
def test_what_cannot_be_is_told_in_one_line_with_its_path(
    profile: Path, text: str, key: str, reason: str
) -> None:
    assert str(refusal(profile, text)) == f"{profile}: {key}: {reason}"


def test_what_only_fails_together_with_the_extended_profile_is_told_too(profile: Path) -> None:
    error = refusal(profile, 'extends = "balanced"\n[retry]\nmax_delay = 0.01')
    assert error.key == f"{profile}: retry.max_delay"


def test_a_file_that_is_no_toml_is_told_with_its_line(profile: Path) -> None:
    assert "is not TOML" in str(refusal(profile, "[hedge\n"))
    assert "line 1" in str(refusal(profile, "[hedge\n"))


def test_a_file_that_is_no_text_is_refused(profile: Path) -> None:
    profile.write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="is not TOML"):
        load(profile)


def test_a_file_that_is_not_there_is_refused(profile: Path) -> None:
    with pytest.raises(PolicyError, match=r"mine\.toml: cannot be read: No such file"):
        load(profile)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read: Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["", "Balanced", "balancd"])
def test_a_name_that_is_not_known_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(PolicyError, match="must be conservative, balanced, aggressive or a TOML"):
        load(name)


def test_its_examples_hold() -> None:
    assert doctest.testmod(profiles).failed == 0
