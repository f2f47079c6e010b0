# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.cgroup_tree import CgroupTree, Layout
from resonance_tuning.errors import ProfileError, RequirementError
from resonance_tuning.journal import Entry, Journal
from resonance_tuning.knobs import make_knobs
from resonance_tuning.planning.planner import Plan, plan
from resonance_tuning.records import Setting, State, Target
from resonance_tuning.settings import Group, Network, TuningSettings

NOW = 100_000.0
WEB = Target("cgroup", "/web")


@pytest.fixture(params=["v1", "v2", "hybrid"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> CgroupTree:
    return _tree(tmp_path, request.param)


def _tree(root: Path, layout: Layout = "v2", *, cpus: int = 4) -> CgroupTree:
    tree = CgroupTree(root / "host", layout, cpus=cpus)
    tree.put("/proc/sys/kernel/osrelease", "6.18.0-test\n")
    tree.put("/proc/sys/net/ipv4/tcp_available_congestion_control", "reno cubic bbr\n")
    tree.put("/proc/irq/default_smp_affinity", "f\n")
    tree.put("/proc/irq/24/smp_affinity_list", "0-3\n")
    tree.make_group("/web")
    tree.make_group("/batch/a")
    return tree


def _settings(tree: CgroupTree, **changed: Any) -> TuningSettings:
    chosen: dict[str, Any] = {
        "profiles_directory": str(tree.root.parent),
        "latency_critical": Group(cgroups=("/web",)),
        "batch": Group(cgroups=("/batch*",)),
    }
    return TuningSettings(**(chosen | changed))


def _plan(
    tree: CgroupTree, *, held: bool = False, journal: Journal | None = None, **changed: Any
) -> Plan:
    return plan(
        tree.host,
        _settings(tree, **changed),
        make_knobs(tree.host),
        journal=journal,
        held=held,
        now_boottime_seconds=NOW,
    )


def _own(tree: CgroupTree, text: str) -> str:
    (tree.root.parent / "own.toml").write_text(text, encoding="utf-8")
    return "own"


def _settings_of(made: Plan) -> list[tuple[str, str]]:
    return [
        (change.setting.knob, change.setting.target.name)
        for change in made.changes
        if change.is_needed
    ]


def _why_not(made: Plan, knob: str) -> str:
    return next(each.reason for each in made.excluded if each.setting.knob == knob)


def test_the_default_is_weight_for_one_and_the_idle_class_for_the_other(tree: CgroupTree) -> None:
    made = _plan(tree)
    assert _settings_of(made) == [("cpu_idle", "/batch"), ("cpu_weight", "/web")]
    assert (made.latency_critical, made.batch) == (("/web",), ("/batch",))
    assert made.on_stop == "restore"
    idle, weight = [change for change in made.changes if change.is_needed]
    assert weight.setting.value == ("1000" if tree.version == 2 else "10240")
    assert weight.prior.value == ("100" if tree.version == 2 else "1024")
    assert weight.identity
    assert weight.undo[0].startswith(f"echo {weight.prior.value} > ")
    assert "cgroup /batch gives way to everybody else" in idle.reason
    assert idle.reason.endswith("(rung 1 of 5)")
    assert "cgroup /web goes before its neighbours" in weight.reason


def test_it_goes_up_the_ladder_and_gives_before_it_takes(tree: CgroupTree) -> None:
    made = _plan(tree, profile="latency-critical", allow=("realtime", "cpu_dma_latency"))
    knobs = make_knobs(tree.host)
    rungs = [knobs[change.setting.knob].rung for change in made.changes]
    assert rungs == sorted(rungs)
    cpusets = [
        change.setting.target.name for change in made.changes if change.setting.knob == "cpuset"
    ]
    assert cpusets == ["/web", "/batch"]


def test_a_plan_opens_nothing_for_writing_and_changes_nothing(tree: CgroupTree) -> None:
    tree.make_process(30, "/x", "backup")
    opened: list[tuple[str, int]] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if is_watching and event == "open":
            opened.append((str(arguments[0]), int(arguments[2] or 0)))
        elif is_watching and event in {"os.mkdir", "os.rename", "os.remove", "os.truncate"}:
            opened.append((event, os.O_WRONLY))

    is_watching = True
    sys.addaudithook(watch)  # cannot be taken away again; it is made deaf instead
    before = {path: path.read_bytes() for path in tree.root.rglob("*") if path.is_file()}
    del opened[:]
    for name in ("conservative", "balanced", "aggressive", "latency-critical", "network-wan"):
        _plan(
            tree, profile=name, held=True, batch=Group(cgroups=("/batch",), processes=("backup",))
        )
    is_watching = False
    assert any(path.endswith("/cpu.idle") for path, _ in opened)  # the watch is awake
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    assert [path for path, flags in opened if flags & writing] == []
    assert tree.host.writes == []
    assert {path: path.read_bytes() for path in tree.root.rglob("*") if path.is_file()} == before


def test_a_plan_survives_the_wire(tree: CgroupTree) -> None:
    made = _plan(tree, profile="aggressive")
    assert msgspec.json.decode(msgspec.json.encode(made), type=Plan) == made


def test_what_is_there_already_is_not_needed(tree: CgroupTree) -> None:
    tree.set("/batch", "cpu.idle", "1")
    assert _settings_of(_plan(tree)) == [("cpu_weight", "/web")]


def test_opt_in_knobs_need_to_be_allowed_by_name(tree: CgroupTree) -> None:
    made = _plan(tree, profile="latency-critical", held=True)
    assert _why_not(made, "cpu_dma_latency") == (
        'only turned where tuning.allow names "cpu_dma_latency"'
    )
    allowed = _plan(tree, profile="latency-critical", held=True, allow=("cpu_dma_latency",))
    assert "tuning.allow" not in _why_not(allowed, "cpu_dma_latency")  # there is no such device


def test_what_is_refused_by_name_is_left_out(tree: CgroupTree) -> None:
    made = _plan(tree, refuse=("cpu_idle",))
    assert _settings_of(made) == [("cpu_weight", "/web")]
    assert _why_not(made, "cpu_idle") == "refused by tuning.refuse"


@pytest.mark.parametrize("key", ["allow", "refuse"])
def test_allowing_or_refusing_what_there_is_not_is_an_error(key: str, tree: CgroupTree) -> None:
    with pytest.raises(ProfileError, match=f"configuration: tuning.{key}: there is no knob x;"):
        _plan(tree, **{key: ("x",)})


def test_what_its_process_must_hold_is_for_the_service(tree: CgroupTree) -> None:
    made = _plan(tree, profile="network-wan")
    assert "let the service apply it" in _why_not(made, "congestion_control")
    assert "let the service" not in _why_not(
        _plan(tree, profile="latency-critical", held=True), "cpu_dma_latency"
    )


def test_the_network_is_tuned_for_everybody_who_is_named(tree: CgroupTree) -> None:
    made = _plan(tree, profile="network-wan")
    asked = {each.setting for each in made.excluded if each.setting.knob == "congestion_control"}
    assert {setting.target.name for setting in asked} == {"/web", "/batch"}
    assert {setting.value for setting in asked} == {"bbr min_rtt_seconds=0.002"}, (
        "all of them: a share proves nothing"
    )


def test_routes_devices_and_namespaces_are_those_of_the_configuration(tree: CgroupTree) -> None:
    network = Network(routes=("default",), devices=("eth9",), namespaces=("self", "blue"))
    name = _own(tree, "[network]\nroute_congestion = 'bbr'\nqdisc = 'fq'\nsomaxconn = 5000\n")
    made = _plan(tree, profile=name, network=network)
    settings = [each.setting for each in (*made.excluded, *made.changes)]
    assert {(setting.knob, setting.target) for setting in settings} >= {
        ("qdisc", Target("device", "eth9")),
        ("somaxconn", Target("namespace", "")),
        ("somaxconn", Target("namespace", "blue")),
    }
    routes = {each.target.name for each in settings if each.knob == "route_congestion"}
    assert routes
    assert all(route.startswith("default") for route in routes)


def test_with_one_cpu_no_cpu_is_set_apart_and_the_rest_is_done(tmp_path: Path) -> None:
    tree = _tree(tmp_path, cpus=1)
    made = _plan(tree, profile="aggressive")
    assert _settings_of(made) == [("cpu_idle", "/batch"), ("cpu_weight", "/web")]
    for knob in ("cpuset", "irq_affinity", "workqueue_affinity"):
        assert _why_not(made, knob) == ("CPUs cannot be set apart: 2 online CPUs needed, found 1")
    with pytest.raises(RequirementError, match="requires 2 CPUs online, found 1"):
        _plan(tree, profile="latency-critical")


def test_housekeeping_is_always_left_and_told(tree: CgroupTree) -> None:
    made = _plan(tree, profile="aggressive", min_housekeeping_cpus=2)
    assert "CPUs: 0-1 for everybody, 3 for the latency-critical, 2 for batch" in made.notes
    values = {
        change.setting.target.name: change.setting.value
        for change in made.changes
        if change.setting.knob == "cpuset"
    }
    assert values == {"/web": "3", "/batch": "2"}


def test_the_operator_may_say_how_many_cpus_are_set_apart(tree: CgroupTree) -> None:
    made = _plan(tree, profile="aggressive", latency_critical_cpus=2)
    assert "CPUs: 0 for everybody, 2-3 for the latency-critical, 1 for batch" in made.notes
    made = _plan(tree, profile="aggressive", latency_critical_cpus=4)
    assert "4 CPUs for latency-critical groups needed" in _why_not(made, "cpuset")


def test_a_throttled_group_is_not_tuned_until_its_quota_is_lifted(tree: CgroupTree) -> None:
    name = "cpu.cfs_quota_us" if tree.version == 1 else "cpu.max"
    tree.put(f"/{tree.file('/web', name).relative_to(tree.root)}", "50000 100000\n")
    tree.file("/web", "cpu.stat").write_text("nr_periods 9\nnr_throttled 5\n")
    made = _plan(tree)
    assert _settings_of(made) == [("cpu_idle", "/batch")]
    assert "held it back 5 times" in _why_not(made, "cpu_weight")


@pytest.mark.parametrize(
    ("critical", "batch", "words"),
    [
        ("/web", "/web", "configuration: tuning.batch: cgroup /web is latency-critical, too"),
        ("/batch/a", "/batch", "cgroup /batch holds the latency-critical cgroup /batch/a"),
        ("/batch", "/batch/a", "cgroup /batch/a lies within the latency-critical cgroup /batch"),
    ],
)
def test_who_is_both_is_an_error_that_names_both(
    critical: str, batch: str, words: str, tree: CgroupTree
) -> None:
    with pytest.raises(ProfileError) as caught:
        _plan(tree, latency_critical=Group(cgroups=(critical,)), batch=Group(cgroups=(batch,)))
    assert words in str(caught.value)


def test_a_process_that_is_both_or_runs_in_a_batch_group_is_an_error(tree: CgroupTree) -> None:
    tree.make_process(30, "/batch/a", "nginx")
    both = Group(processes=("nginx",))
    with pytest.raises(ProfileError, match="process 30 is latency-critical, too"):
        _plan(tree, latency_critical=both, batch=both)
    with pytest.raises(ProfileError, match="/batch holds the latency-critical process 30"):
        _plan(tree, latency_critical=both)


def test_a_contradiction_within_a_profile_names_its_file(tree: CgroupTree) -> None:
    name = _own(tree, "include = ['balanced']\n[match.batch]\ncgroups = ['/web']\n")
    with pytest.raises(ProfileError) as caught:
        _plan(tree, profile=name)
    assert (caught.value.path, caught.value.key) == (
        str(tree.root.parent / "own.toml"),
        "match.batch",
    )


def test_whom_a_profile_names_is_added_to_whom_the_configuration_names(tree: CgroupTree) -> None:
    tree.make_group("/more")
    name = _own(tree, "include = ['balanced']\n[match.batch]\ncgroups = ['/more']\n")
    assert _plan(tree, profile=name).batch == ("/batch", "/more")


def test_protected_groups_are_told_and_the_others_are_tuned(tree: CgroupTree) -> None:
    tree.make_process(22, "/batch/ssh", "sshd")
    made = _plan(tree)
    assert made.batch == ("/batch/a",)
    reasons = {
        each.setting.target.name: each.reason
        for each in made.excluded
        if each.setting.knob == "cpu_idle"
    }
    assert reasons == {
        "/batch": "never tuned: it holds sshd (pid 22)",
        "/batch/ssh": "never tuned: it holds sshd (pid 22)",
    }


def test_nobody_named_says_how_to_name_somebody(tree: CgroupTree) -> None:
    made = _plan(tree, latency_critical=Group(), batch=Group(units=("backup.service",)))
    assert not made.changes
    assert any("nobody is named; name units" in note for note in made.notes)
    assert "batch: there is no unit backup.service here, or it does not run" in made.notes


def test_for_nobody_no_cpu_is_kept_free(tree: CgroupTree) -> None:
    made = _plan(tree, profile="aggressive", latency_critical=Group(cgroups=("/gone",)))
    assert _settings_of(made) == [("cpu_idle", "/batch")]
    for knob in ("cpuset", "irq_affinity", "workqueue_affinity"):
        assert _why_not(made, knob).startswith("nobody latency-critical is here")


def test_knobs_that_find_nobody_are_told_once(tree: CgroupTree) -> None:
    notes = _plan(tree, profile="latency-critical").notes
    assert "latency_critical: no process is named for nice, realtime" in notes
    assert "host: no device is named for rps_affinity" in notes


def test_another_tuner_keeps_its_knobs(tree: CgroupTree) -> None:
    tree.make_process(40, "/system.slice/irqbalance.service", "irqbalance")
    made = _plan(tree, profile="aggressive")
    assert _why_not(made, "irq_affinity").startswith("left to irqbalance (pid 40): keep it off")
    assert any(note.startswith("irqbalance (pid 40) is at work") for note in made.notes)
    assert ("cpu_weight", "/web") in _settings_of(made)


def test_in_a_container_everything_is_excluded_and_said_so(tree: CgroupTree) -> None:
    path = tree.host.path("/proc/self/ns/pid")
    path.parent.mkdir(parents=True)
    os.symlink("pid:[4026539999]", path)
    made = _plan(tree)
    assert not made.changes
    assert {each.setting.knob for each in made.excluded} >= {"cpu_idle", "cpu_weight"}
    assert all(each.reason.startswith("in a container") for each in made.excluded)
    assert made.notes[0].startswith("in a container")


def test_a_value_out_of_range_names_the_file_it_stands_in(tree: CgroupTree) -> None:
    (tree.root.parent / "base.toml").write_text("[batch]\ncpu_idle = 2\n")
    name = _own(tree, "include = ['base']\n")
    with pytest.raises(ProfileError) as caught:
        _plan(tree, profile=name)
    assert str(caught.value).startswith(f"{tree.root.parent / 'base.toml'}: batch.cpu_idle: ")


def test_the_profile_says_what_happens_at_the_end_before_the_configuration(
    tree: CgroupTree,
) -> None:
    assert _plan(tree, on_stop="keep").on_stop == "keep"
    name = _own(tree, "include = ['balanced']\non_stop = 'restore'\n")
    assert _plan(tree, profile=name, on_stop="keep").on_stop == "restore"


class _Journal(Journal):
    """A journal whose steps a test gives."""

    def __init__(self, *steps: Entry) -> None:
        super().__init__(Path("/nonexistent"), "boot")
        self.steps = list(steps)

    def entries(self) -> list[Entry]:
        return self.steps


def _step(number: int, **changed: Any) -> Entry:
    entry = Entry(
        step=number,
        transaction=1,
        profile="balanced",
        setting=Setting("cpu_weight", WEB, "1000", "latency_critical"),
        identity="1:1",
        prior=State("700"),
        canonical="1000",
        reason="",
        persistence="boot",
        pid=1,
        at_unix_seconds=0.0,
        at_boottime_seconds=0.0,
        outcome="released",
        found="333",
    )
    return replace(entry, **changed)


@pytest.mark.parametrize(
    ("ages", "words"),
    [
        ([3_601.0], ""),
        ([1_800.0], "somebody else set it to '333': left alone for 30 more minutes"),
        ([9_000.0, 3_601.0], "left alone for 60 more minutes"),
        ([9_000.0, 7_201.0], ""),
        ([90_000.0, 80_000.0, 70_000.0], "the third time or more"),
    ],
)
def test_what_its_owner_took_back_rests_longer_each_time(
    ages: list[float], words: str, tree: CgroupTree
) -> None:
    steps = [
        _step(number, ended_boottime_seconds=NOW - age) for number, age in enumerate(ages, start=1)
    ]
    made = _plan(tree, journal=_Journal(*steps))
    if words:
        assert words in _why_not(made, "cpu_weight")
    else:
        assert ("cpu_weight", "/web") in _settings_of(made)
    again = _plan(tree, journal=_Journal(*steps), reclaim=True)
    assert ("cpu_weight", "/web") in _settings_of(again)


def test_what_is_in_force_stays_in_the_plan_with_the_way_back_to_before_us(
    tree: CgroupTree,
) -> None:
    undo = ("echo 700 > there",)
    journal = _Journal(
        _step(1, ended_boottime_seconds=NOW - 5),
        _step(2, outcome="applied", undo=undo),
        _step(3, outcome="applied", undo=("echo 1000 > there",)),
    )
    made = _plan(tree, journal=journal)
    (weight,) = [change for change in made.changes if change.setting.knob == "cpu_weight"]
    assert weight.undo == undo


def test_a_group_that_goes_while_it_is_looked_at_is_excluded(
    tree: CgroupTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs = make_knobs(tree.host)
    monkeypatch.setattr(knobs["cpu_weight"], "unavailable", lambda _: tree.remove_group("/web"))
    made = plan(
        tree.host,
        _settings(tree),
        knobs,
        journal=None,
        held=False,
        now_boottime_seconds=NOW,
    )
    assert _why_not(made, "cpu_weight") == "cgroup /web: it is gone"


def _units(tree: CgroupTree, **changed: Any) -> Plan:
    tree.host.path("/run/systemd/system").mkdir(parents=True)
    tree.make_group("/system.slice/web.service/worker")
    tree.make_group("/batch.slice")
    chosen: dict[str, Any] = {
        "latency_critical": Group(units=("web.service",)),
        "batch": Group(units=("batch.slice",), cgroups=("/system.slice/web.service.d/*",)),
    }
    return _plan(tree, **(chosen | changed))


def _asked(made: Plan) -> set[tuple[str, str, str]]:
    settings = [change.setting for change in made.changes if change.is_needed]
    settings += [each.setting for each in made.excluded]
    return {(setting.knob, setting.target.name, setting.value) for setting in settings}


def test_units_of_a_running_systemd_are_asked_of_systemd(tree: CgroupTree) -> None:
    made = _units(tree, profile="latency-critical")
    asked = _asked(made)
    assert {
        ("unit_cpu_weight", "web.service", "10000"),
        ("unit_cpu_weight", "batch.slice", "idle"),
        ("unit_allowed_cpus", "web.service", "3"),
        ("unit_allowed_cpus", "batch.slice", "1-2"),
        ("cpuset_partition", "/system.slice/web.service", "root"),
    } <= asked
    assert not {"cpu_weight", "cpu_idle", "cpuset"} & {knob for knob, _, _ in asked}
    assert "is systemd's" in _why_not(made, "cpuset_partition")
    assert made.latency_critical == ("/system.slice/web.service",)


def test_a_group_within_a_unit_is_no_unit(tree: CgroupTree) -> None:
    made = _units(tree, latency_critical=Group(cgroups=("/system.slice/web.service/worker",)))
    assert ("cpu_weight", "/system.slice/web.service/worker") in _settings_of(made)


def test_a_unit_that_is_throttled_is_not_tuned(tree: CgroupTree) -> None:
    path = "/system.slice/web.service"
    tree.make_group(path)
    name = "cpu.cfs_quota_us" if tree.version == 1 else "cpu.max"
    tree.put(f"/{tree.file(path, name).relative_to(tree.root)}", "50000 100000\n")
    tree.file(path, "cpu.stat").write_text("nr_throttled 5\n")
    made = _units(tree)
    reasons = {
        each.setting.target.name: each.reason
        for each in made.excluded
        if each.setting.knob == "unit_cpu_weight"
    }
    assert "held it back 5 times" in reasons["web.service"]
