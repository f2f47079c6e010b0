# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from resonance_tuning.errors import ProfileError
from resonance_tuning.guard import Guard
from resonance_tuning.planning.profiles import Profile, directories, fill, load, names
from resonance_tuning.planning.reasons import SENTENCES
from resonance_tuning.records import TargetKind
from resonance_tuning.settings import TuningSettings

SHIPPED = ["aggressive", "balanced", "conservative", "latency-critical", "network-wan"]
SCOPES: dict[str, TargetKind] = {
    "cpu_weight": "cgroup",
    "cpu_idle": "cgroup",
    "nice": "process",
    "irq_affinity": "interrupt",
    "qdisc": "device",
}


def _write(directory: Path, **texts: str) -> None:
    for name, text in texts.items():
        (directory / f"{name}.toml").write_text(text, encoding="utf-8")


def _load(directory: Path, name: str = "own") -> Profile:
    return load(name, directories(str(directory)), scopes=SCOPES)


def _refusal(directory: Path, text: str) -> ProfileError:
    _write(directory, own=text)
    with pytest.raises(ProfileError) as caught:
        _load(directory)
    assert "\n" not in str(caught.value)
    assert "regex" not in str(caught.value)
    return caught.value


def test_the_profiles_that_are_shipped_can_be_read_and_say_what_they_are(tmp_path: Path) -> None:
    where = directories(str(tmp_path))
    assert names(where) == SHIPPED
    for name in SHIPPED:
        profile = load(name, where)
        assert profile.name == name
        assert 20 < len(profile.description) < 80


def test_the_default_profile_is_ten_to_one_by_weight_and_idle_batch(tmp_path: Path) -> None:
    profile = load(TuningSettings().profile, directories(str(tmp_path)))
    assert profile.name == "balanced"
    assert profile.settings["latency_critical"]["cpu_weight"] == 1000
    assert profile.settings["batch"] == {"cpu_idle": 1, "task_idle": 1}
    assert not profile.settings["network"]
    assert not profile.settings["host"]
    assert profile.guard == Guard()


def test_only_aggressive_and_more_set_cpus_apart(tmp_path: Path) -> None:
    having = {
        name
        for name in SHIPPED
        if "cpuset" in load(name, directories(str(tmp_path))).settings["latency_critical"]
    }
    assert having == {"aggressive", "latency-critical"}


def test_each_setting_of_a_shipped_profile_has_a_sentence_for_people(tmp_path: Path) -> None:
    for name in SHIPPED:
        profile = load(name, directories(str(tmp_path)))
        asked = {(knob, role) for role, knobs in profile.settings.items() for knob in knobs}
        assert asked <= SENTENCES.keys()


def test_an_includer_wins_key_by_key(tmp_path: Path) -> None:
    _write(
        tmp_path,
        base="[variables]\nw = 10\n[batch]\ncpu_idle = 1\n[guard]\nwindow_seconds = 5.0\n"
        "[latency_critical]\ncpu_weight = '${w}'\n[match.batch]\nprocesses = ['a']\n",
        own="include = ['base']\n[variables]\nw = 20\n[guard]\ndwell_seconds = 7.0\n"
        "[match.batch]\ncgroups = ['/b']\n",
    )
    profile = _load(tmp_path)
    assert profile.settings["latency_critical"]["cpu_weight"] == 20
    assert profile.settings["batch"]["cpu_idle"] == 1
    assert (profile.guard.window_seconds, profile.guard.dwell_seconds) == (5.0, 7.0)
    assert profile.match.batch.processes == ("a",)
    assert profile.match.batch.cgroups == ("/b",)
    assert profile.origins["batch.cpu_idle"] == str(tmp_path / "base.toml")


def test_what_two_includes_share_does_not_undo_the_first(tmp_path: Path) -> None:
    _write(
        tmp_path,
        base="[latency_critical]\ncpu_weight = 10\n",
        one="include = ['base']\n[latency_critical]\ncpu_weight = 20\n",
        two="include = ['base']\n[batch]\ncpu_idle = 1\n",
        own="include = ['one', 'two']\n",
    )
    assert _load(tmp_path).settings["latency_critical"]["cpu_weight"] == 20


def test_the_operators_profile_wins_and_may_build_on_the_shipped_one(tmp_path: Path) -> None:
    _write(tmp_path, balanced="include = ['balanced']\n[variables]\nlatency_critical_weight = 5\n")
    profile = load("balanced", directories(str(tmp_path)))
    assert profile.path == str(tmp_path / "balanced.toml")
    assert profile.settings["latency_critical"]["cpu_weight"] == 5
    assert profile.settings["batch"]["cpu_idle"] == 1


def test_a_missing_profile_lists_what_there_is(tmp_path: Path) -> None:
    _write(tmp_path, mine="")
    with pytest.raises(ProfileError) as caught:
        load("balancd", directories(str(tmp_path)))
    assert caught.value.path == str(tmp_path / "balancd.toml")
    assert "aggressive, balanced, conservative, latency-critical, mine" in str(caught.value)


@pytest.mark.parametrize("name", ["../passwd", "", "a/b", "Balanced", "x.toml", "-x"])
def test_a_name_that_is_a_path_is_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="must be the name of a profile"):
        load(name, directories(str(tmp_path)))


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("descripton = 'x'\n", "descripton", "there is no such key"),
        ("description = 1\n", "description", "Expected `str`"),
        ("include = 'base'\n", "include", "Expected `array`"),
        ("include = [1]\n", "include", "Expected `str`"),
        ("include = ['../x']\n", "include", "must be names of profiles"),
        ("include = ['missing']\n", "include", "no profile missing; there are: aggressive"),
        ("on_stop = 'leave'\n", "on_stop", "Invalid enum value 'leave'"),
        ("variables = 3\n", "variables", "Expected `object`"),
        ("[variables]\na = {b = 1}\n", "variables.a", "must be a text, a number"),
        ("[variables]\na = 1979-05-27\n", "variables.a", "must be a text, a number"),
        ("[variables]\na = nan\n", "variables.a", "must be a finite number"),
        ("[variables]\na = '${b}'\n", "variables.a", "cannot be made of others"),
        ("[variables]\nbatch_cpus = '1'\n", "variables.batch_cpus", "the host gives this"),
        ("[batch]\ncpu_idel = 1\n", "batch.cpu_idel", "no such knob; is cpu_idle meant?"),
        ("[batch]\nxyz = 1\n", "batch.xyz", "no such knob; there are: cpu_idle, cpu_weight"),
        ("[batch]\ncpu_idle = {a = 1}\n", "batch.cpu_idle", "must be a text, a number"),
        ("[batch]\ncpu_idle = [[1]]\n", "batch.cpu_idle", "must be a text, a number"),
        ("[batch]\ncpu_weight = inf\n", "batch.cpu_weight", "must be a finite number"),
        ("[batch]\ncpu_idle = '${x}'\n", "batch.cpu_idle", "there is no variable x"),
        ("[batch]\ncpu_idle = ['${x}']\n", "batch.cpu_idle", "there is no variable x"),
        ("[batch]\nirq_affinity = '0'\n", "batch.irq_affinity", "belongs into [host]"),
        ("[host]\nnice = 1\n", "host.nice", "into [latency_critical] or [batch]"),
        ("[latency_critical]\nqdisc = 'fq'\n", "latency_critical.qdisc", "[network] or [host]"),
        ("batch = 1\n", "batch", "Expected `object`"),
        ("[require]\ncpus_online = 0\n", "require.cpus_online", ">= 1"),
        ("[require]\ncpus_online = '2'\n", "require.cpus_online", "Expected `int`"),
        ("[require]\nkernel = 'new'\n", "require.kernel", "must be a version, as 5.15"),
        ("[require]\ncpus = 1\n", "require.cpus", "there is no such key"),
        ("[require]\ncontrollers = 'cpu'\n", "require.controllers", "Expected `array`"),
        ("[match.batch]\nunit = []\n", "match.batch.unit", "there is no such key"),
        ("[match.batch]\nunits = ['web']\n", "match.batch.units", "with their ending"),
        ("[match.batch]\ncgroups = ['web']\n", "match.batch.cgroups", "must be shell patterns"),
        ("[match.others]\n", "match.others", "there is no such key"),
        ("[guard]\nmin_gain_ratio = 1.0\n", "guard.min_gain_ratio", "< 1.0"),
        ("[guard]\nenter_windows = 0\n", "guard.enter_windows", ">= 1"),
        ("[guard]\nwindow_seconds = 'long'\n", "guard.window_seconds", "Expected `float`"),
        ("[guard]\nwindow_seconds = nan\n", "guard.window_seconds", ""),
        ("[guard]\nslo = 1\n", "guard.slo", "there is no such key"),
        (
            "[latency_critical]\ncpu_weight = 10000\n[batch]\ncpu_weight = 99\n",
            "latency_critical.cpu_weight",
            "10000 against 99 of batch is more than 100 to 1",
        ),
        ("[batch]\ncpu_idle = 1\ncpu_weight = 20\n", "batch.cpu_weight", "has no weight"),
        ("[latency_critical]\ncpu_weight = 10001\n", "latency_critical.cpu_weight", "100 to 1"),
    ],
)
def test_what_is_wrong_is_one_line_with_path_key_and_reason(
    text: str, key: str, reason: str, tmp_path: Path
) -> None:
    error = _refusal(tmp_path, text)
    assert str(error).startswith(f"{tmp_path / 'own.toml'}: {key}: ")
    assert reason in str(error)


@pytest.mark.parametrize("text", ["[batch\n", "a = \x00", "include"])
def test_what_is_not_toml_is_refused_with_the_place(text: str, tmp_path: Path) -> None:
    assert "not TOML" in str(_refusal(tmp_path, text))


def test_what_is_not_text_or_not_readable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match="not TOML"):
        _load(tmp_path)


def test_a_circle_of_includes_is_told_as_it_runs(tmp_path: Path) -> None:
    _write(tmp_path, one="include = ['two']\n", two="include = ['own']\n")
    error = _refusal(tmp_path, "include = ['one']\n")
    assert str(error) == (
        f"{tmp_path / 'two.toml'}: include: a circle: own includes one includes two includes own"
    )


def test_a_profile_that_includes_its_own_name_and_no_other_is_refused(tmp_path: Path) -> None:
    assert "no profile own" in str(_refusal(tmp_path, "include = ['own']\n"))


def test_an_error_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    _write(tmp_path, base="[batch]\ncpu_idel = 1\n")
    assert _refusal(tmp_path, "include = ['base']\n").path == str(tmp_path / "base.toml")


def test_a_variable_alone_keeps_its_type_and_within_text_becomes_text() -> None:
    variables = {"n": 3, "half": 0.5, "on": True}
    assert fill("${n}", variables) == 3
    assert fill("${on}", variables) is True
    assert fill("bbr canary=${half}", variables) == "bbr canary=0.5"
    assert fill([1, "${n}-7"], variables) == [1, "3-7"]
    assert fill("${other}", variables) == "${other}"
