# SPDX-License-Identifier: MIT
"""The way back with the standard library alone, and with a house that is half broken."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.knobs import BOOT_ID, FakeHost, setting
from resonance_tuning import __main__ as command
from resonance_tuning import rollback
from resonance_tuning.errors import JournalError
from resonance_tuning.journal import Journal, read
from resonance_tuning.records import Change, Receipt, Setting, State, Target
from resonance_tuning.rollback import roll_back
from resonance_tuning.settings import TuningSettings
from resonance_tuning.tuner import Tuner

PACKAGE = Path(__file__).parents[3] / "kernel-tuning" / "resonance_tuning"
BARE = (sys.executable, "-I", "-S", "-c")
"""No site packages, no PYTHONPATH, no current directory."""
ON_PATH = "import sys; sys.path.insert(0, sys.argv[1]);"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    fake = FakeHost(tmp_path)
    monkeypatch.setattr(rollback, "_load_knobs", lambda _: fake.knobs)
    return fake


def apply(fake: FakeHost, *settings: Setting) -> None:
    with Journal(fake.journals, BOOT_ID) as journal:
        tuner = Tuner(fake.host, journal, fake.knobs)
        tuner.apply("balanced", [tuner.preview(each, "") for each in settings], "")


def run(fake: FakeHost, *options: str) -> int:
    return command.main(["--journal-directory", str(fake.journals), *options], fake.host)


def test_everything_comes_back(fake: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    web, batch = fake.make_group("/web", "700"), fake.make_group("/batch", "800")
    before = fake.snapshot()
    apply(fake, setting("fake_weight", web, "9"), setting("fake_idle", batch, "1"))
    assert run(fake) == 0
    assert capsys.readouterr().out == (
        "restored      fake_idle of cgroup /batch: '0'\n"
        "restored      fake_weight of cgroup /web: '700'\n"
    )
    assert fake.snapshot() == before
    assert run(fake) == 0
    assert capsys.readouterr().out == "nothing to put back\n"


def test_where_nothing_was_done_nothing_is_made(
    fake: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(fake) == 0
    assert capsys.readouterr().out == "nothing to put back\n"
    assert not fake.journals.exists()


def test_what_is_left_is_told_with_what_to_paste(
    fake: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    web = fake.make_group("/web", "700")
    apply(fake, setting("fake_weight", web, "9"))
    fake.put(web, "weight", "555")
    assert run(fake) == 3
    assert capsys.readouterr().out == (
        "conflict-left fake_weight of cgroup /web: '555'; it was '700'\n"
        "  to put back what was there before:\n"
        f"    echo 700 > {fake.root}/groups/web/weight\n"
    )


def test_a_group_that_is_gone_is_nothing_left(
    fake: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    web = fake.make_group("/web")
    apply(fake, setting("fake_weight", web, "9"))
    fake.remove_group(web)
    assert run(fake) == 0
    assert capsys.readouterr().out == "vanished      fake_weight of cgroup /web: it is gone\n"


def test_as_json_it_is_the_receipts(fake: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    web = fake.make_group("/web", "700")
    apply(fake, setting("fake_weight", web, "9"))
    assert run(fake, "--output", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["damage"] == ""
    (receipt,) = told["receipts"]
    assert (receipt["outcome"], receipt["found"], receipt["step"]) == ("restored", "700", 1)
    assert receipt["setting"] == {
        "knob": "fake_weight",
        "target": {"kind": "cgroup", "name": "/web"},
        "value": "9",
        "role": "batch",
    }


def test_a_damaged_journal_is_told_however_well_it_went(
    fake: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    web = fake.make_group("/web", "700")
    apply(fake, setting("fake_weight", web, "9"))
    (path,) = fake.journals.iterdir()
    path.write_bytes(path.read_bytes().replace(b"commit", b"comnit"))
    assert run(fake) == 3
    assert "damaged       " in capsys.readouterr().out
    assert fake.snapshot()["web/weight"] == b"700\n"
    assert run(fake) == 3  # until somebody has looked and removed it
    with pytest.raises(JournalError, match="then remove the file"):
        apply(fake, setting("fake_weight", web, "9"))


def test_a_journal_that_is_held_is_left_to_its_holder(
    fake: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    web = fake.make_group("/web", "700")
    apply(fake, setting("fake_weight", web, "9"))
    with Journal(fake.journals, BOOT_ID):
        assert run(fake) == 1
    assert f"rollback: {fake.journals}: is held by pid {os.getpid()}" in capsys.readouterr().err
    assert fake.snapshot()["web/weight"] == b"9\n"


def test_it_looks_where_the_service_writes_unless_told_otherwise() -> None:
    assert Path(TuningSettings().journal_directory) == command.DEFAULT_DIRECTORY


def test_only_root_may(
    fake: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert command.main(["--journal-directory", str(fake.journals)]) == 1
    assert "only root" in capsys.readouterr().err


def test_a_name_of_any_bytes_is_printed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    target = Target("cgroup", os.fsdecode(b"/caf\xe9"))
    receipts = [Receipt(1, Setting("cpu_weight", target, "9"), "restored", "700")]
    text = "".join(f"{line}\n" for line in command.lines(receipts))
    command._print(sys.stdout, text)
    assert raw.getvalue() == b"restored      cpu_weight of cgroup /caf\xe9: '700'\n"


def test_an_interrupted_rollback_goes_on_with_the_next(fake: FakeHost) -> None:
    web, batch = fake.make_group("/web", "700"), fake.make_group("/batch", "800")
    before = fake.snapshot()
    apply(fake, setting("fake_weight", web, "9"), setting("fake_weight", batch, "9"))

    def interrupt(value: str) -> None:
        if value == "700":
            raise KeyboardInterrupt

    fake.weight.before_write = interrupt
    with pytest.raises(KeyboardInterrupt):
        roll_back(fake.journals, fake.host)
    fake.weight.before_write = lambda _: None
    receipts, _ = roll_back(fake.journals, fake.host)
    assert [receipt.setting.target for receipt in receipts] == [web]
    assert fake.snapshot() == before


# ---- a house that is half broken -------------------------------------------------------------


def journal_of_real_knobs(root: Path) -> tuple[Path, Path]:
    """Make a tree with a group two real knobs have turned; values of one length, for files."""
    group = root / "sys/fs/cgroup/web"
    group.mkdir(parents=True)
    (group.parent / "cgroup.controllers").write_text("cpu\n")
    for name, text in (("cpu.weight", "500"), ("cpu.idle", "0")):
        (group / name).write_text(f"{text}\n")
    proc = root / "proc/self"
    proc.mkdir(parents=True)
    (proc / "mountinfo").write_text("1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    boot_id = root / "proc/sys/kernel/random/boot_id"
    boot_id.parent.mkdir(parents=True)
    boot_id.write_text(f"{BOOT_ID}\n")
    identity = f"{group.stat().st_dev}:{group.stat().st_ino}"
    target = Target("cgroup", "/web")
    with Journal(root / "journal", BOOT_ID) as journal:
        journal.begin("balanced", "")
        weight = Setting("cpu_weight", target, "700")
        journal.intent(Change(weight, identity, State("500"), "700", "", ("put weight",)), "boot")
        idle = State("0", {"cpu.weight": "700"})
        change = Change(Setting("cpu_idle", target, "1"), identity, idle, "1", "", ("put idle",))
        journal.intent(change, "boot")
    (group / "cpu.weight").write_text("700\n")
    (group / "cpu.idle").write_text("1\n")
    return root / "journal", group


def run_bare(place: Path, root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script = (
        f"{ON_PATH} from pathlib import Path; from resonance_tuning.host import Host;"
        "from resonance_tuning.__main__ import main;"
        "sys.exit(main(sys.argv[3:], Host(Path(sys.argv[2]))))"
    )
    return subprocess.run(
        [*BARE, script, str(place), str(root), "--journal-directory", str(root / "journal")],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("cpu_idle.py", "this is no Python (\n"),
        ("cpu_idle.py", "raise RuntimeError('broken')\n"),
        ("cpu_idle.py", "import no_such_library\n"),
        ("__init__.py", "raise RuntimeError('broken')\n"),
    ],
)
def test_a_broken_knob_costs_its_own_entries_only(tmp_path: Path, file: str, text: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "lib/resonance_tuning")
    (tmp_path / "lib/resonance_tuning/knobs" / file).write_text(text)
    _, group = journal_of_real_knobs(tmp_path)
    ended = run_bare(tmp_path / "lib", tmp_path)
    assert ended.stderr == ""
    assert (group / "cpu.weight").read_text() == "500\n"
    if file == "__init__.py":
        assert ended.returncode == 0
        assert (group / "cpu.idle").read_text() == "0\n"
    else:
        assert ended.returncode == 3
        assert (
            "refused       cpu_idle of cgroup /web: cpu_idle: there is no such knob" in ended.stdout
        )
        assert "    put idle\n" in ended.stdout
        assert [entry.setting.knob for entry in read(tmp_path / "journal", BOOT_ID).live()] == [
            "cpu_idle"
        ]


def test_rollback_loads_the_standard_library_only(tmp_path: Path) -> None:
    script = (
        f"{ON_PATH} from pathlib import Path; before = set(sys.modules);"
        "from resonance_tuning import __main__, rollback; from resonance_tuning.host import Host;"
        "assert rollback._load_knobs(Host()); new = {name.partition('.')[0] for name in"
        " set(sys.modules) - before}; print(*sorted(new - sys.stdlib_module_names))"
    )
    ended = subprocess.run(
        [*BARE, script, str(PACKAGE.parent)], capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["resonance_tuning"]


def test_every_knob_there_is_can_be_loaded_one_by_one() -> None:
    script = (
        f"{ON_PATH} from resonance_tuning import rollback; from resonance_tuning.host import Host;"
        "usual = set(rollback._load_knobs(Host()));"
        "[sys.modules.pop(name) for name in list(sys.modules) if 'tuning.knobs' in name];"
        "found = {knob.name for knob in rollback._load_one_by_one(Host())};"
        "print(*sorted(usual ^ found), len(usual))"
    )
    ended = subprocess.run(
        [*BARE, script, str(PACKAGE.parent)], capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    assert int(ended.stdout) > 0  # and no name before it
