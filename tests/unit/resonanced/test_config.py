# SPDX-License-Identifier: MIT
from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from resonanced import config
from resonanced.config import Settings, keys_that_need_a_restart, load
from resonanced.errors import ConfigError

EXAMPLE = Path(__file__).parents[3] / "systemd" / "resonanced.toml"


def _write(directory: Path, text: str) -> Path:
    path = directory / "resonanced.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _refusal(path: Path, flags: dict[str, dict[str, Any]] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(path, flags)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return caught.value


def test_without_a_default_file_the_defaults_are_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "DEFAULT_PATH", tmp_path / "missing.toml")
    assert load(None) == Settings()


def test_the_example_file_is_the_defaults_key_by_key() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert load(EXAMPLE) == Settings()
    written = tomllib.loads(text)
    assert _keys(written) == _keys(msgspec.to_builtins(Settings()))


def _keys(table: dict[str, Any]) -> dict[str, Any]:
    return {key: _keys(value) if isinstance(value, dict) else None for key, value in table.items()}


def test_a_flag_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    path = _write(tmp_path, "[telemetry]\nport = 1000\n[signals]\ninterval_seconds = 0.25\n")
    settings = load(path, {"telemetry": {"port": 2000}})
    assert settings.telemetry.port == 2000
    assert settings.signals.interval_seconds == 0.25
    assert settings.probes.backend == "auto"


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    error = _refusal(tmp_path / "missing.toml")
    assert str(error) == f"{tmp_path / 'missing.toml'}: no such file"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[signals]\nintervall_seconds = 1.0\n", "signals"),
        ("[signals]\ninterval_seconds = -1.0\n", "signals.interval_seconds"),
        ("[telemetry]\nport = 'http'\n", "telemetry.port"),
        ("[probes]\nbackend = 'ebpf'\n", "probes.backend"),
        ("[service]\nruntime_directory = 'run'\n", "service.runtime_directory"),
        ("[hints]\nsocket = '../x.sock'\n", "hints.socket"),
        ("[hints]\nsocket = 'admin.sock'\n", "hints.socket"),
        ("[service]\nuser = ''\n", "service.user"),
        ("[tuning]\nmode = 'on'\n", "tuning.mode"),
        ("[phase]\nmode = 'on'\n", "phase.mode"),
        ("[policies]\nmode = 'shadow'\n", "policies.mode"),
        ("[policies]\nceiling = 'observe'\n", "policies"),
        ("[phase]\nr_band = [0.6, 0.4]\n", "phase"),
        ("[phase]\nk_min = 0.9\nk_max = 0.1\n", "phase"),
        ("[phase]\nk_max = 2.0\n", "phase.k_max"),
        ("[phase]\nmax_slew_seconds = nan\n", "phase.max_slew_seconds"),
        ("[tuning]\nmin_housekeeping_cpus = 0\n", "tuning.min_housekeeping_cpus"),
        ("[tuning]\nallow = 'realtime'\n", "tuning.allow"),
        ("[tuning.batch]\nunit = ['x.service']\n", "tuning.batch"),
    ],
)
def test_what_cannot_be_is_refused_with_file_key_and_reason(
    text: str, key: str, tmp_path: Path
) -> None:
    path = _write(tmp_path, text)
    error = _refusal(path)
    assert error.key == key
    assert str(error).startswith(f"{path}: {key}: ")


def test_hints_that_would_expire_between_two_ticks_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, "[signals]\ninterval_seconds = 2.0\n")
    assert _refusal(path).key == "hints.valid_for_seconds"


@pytest.mark.parametrize(
    "text",
    [
        '[signals]\ncgroups = ["web"]\n',
        '[phase]\nprotect = ["/good", "web"]\n',
        "[service]\nruntime_directory = 'run'\n",
        "[tuning]\nprofile = '../etc'\n",
        "[tuning]\nprofiles_directory = 'etc'\n",
        "[tuning]\njournal_directory = 'run'\n",
        "[tuning]\nallow = ['Real Time']\n",
        "[tuning]\nrefuse = ['']\n",
        "[tuning.latency_critical]\nunits = ['web']\n",
        "[tuning.latency_critical]\ncgroups = ['/good', 'web']\n",
        "[tuning.batch]\nprocesses = ['/usr/bin/x']\n",
        "[tuning.network]\nroutes = ['everywhere']\n",
        "[tuning.network]\ndevices = ['a/b']\n",
        "[tuning.network]\nnamespaces = ['']\n",
    ],
)
def test_a_value_of_the_wrong_form_is_refused_in_words_and_not_by_a_pattern(
    text: str, tmp_path: Path
) -> None:
    assert "regex" not in str(_refusal(_write(tmp_path, text)))


def test_a_wrong_flag_is_called_a_flag(tmp_path: Path) -> None:
    error = _refusal(_write(tmp_path, ""), {"telemetry": {"port": 70_000}})
    assert str(error).startswith("flag: telemetry.port: ")


@pytest.mark.parametrize("table", ["phase", "tuning"])
def test_a_word_nobody_knows_is_told_with_those_that_are(table: str, tmp_path: Path) -> None:
    error = _refusal(_write(tmp_path, f"[{table}]\nmode = 'on'\n"))
    assert str(error).endswith("'on'; known: observe, shadow, adaptive, active")


@pytest.mark.parametrize("group", ["latency_critical", "batch"])
def test_a_wrong_flag_for_a_group_is_not_blamed_on_the_file(group: str, tmp_path: Path) -> None:
    error = _refusal(_write(tmp_path, ""), {"tuning": {group: {"cgroups": ["web"]}}})
    assert str(error).startswith(f"flag: tuning.{group}.cgroups[0]: ")


def test_what_a_flag_did_not_set_is_blamed_on_the_file(tmp_path: Path) -> None:
    path = _write(tmp_path, "[tuning.batch]\ncgroups = ['web']\n")
    error = _refusal(path, {"tuning": {"latency_critical": {"cgroups": ["/a"]}}})
    assert str(error).startswith(f"{path}: tuning.batch.cgroups[0]: ")


def test_an_unknown_table_is_refused_by_name(tmp_path: Path) -> None:
    assert "`tunning`" in str(_refusal(_write(tmp_path, "[tunning]\nprofile = 'x'\n")))


@pytest.mark.parametrize("text", ["[signals\n", "a = \x00", "interval_seconds"])
def test_what_is_not_toml_is_refused_with_the_place(text: str, tmp_path: Path) -> None:
    path = _write(tmp_path, text)
    assert str(_refusal(path)).startswith(f"{path}: not TOML: ")


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "resonanced.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "not TOML" in str(_refusal(path))


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    assert str(_refusal(tmp_path)) == f"{tmp_path}: Is a directory"


def test_a_value_where_a_table_belongs_is_refused_also_under_a_flag(tmp_path: Path) -> None:
    path = _write(tmp_path, "telemetry = 7\n")
    assert _refusal(path).key == "telemetry"
    assert _refusal(path, {"telemetry": {"port": 1}}).key == "telemetry"


def test_patterns_and_log_level_are_reloaded_and_all_else_needs_a_restart() -> None:
    old = Settings()
    new = msgspec.convert(
        {
            "service": {"log_level": "debug", "user": "other"},
            "signals": {"cgroups": ["/web"], "interval_seconds": 1.0},
            "telemetry": {"port": 1},
            "tuning": {"mode": "shadow", "batch": {"processes": ["backup"]}},
        },
        Settings,
    )
    assert sorted(keys_that_need_a_restart(old, new)) == [
        "service.user",
        "signals.interval_seconds",
        "telemetry.port",
        "tuning.batch.processes",
        "tuning.mode",
    ]
    assert keys_that_need_a_restart(old, old) == []
