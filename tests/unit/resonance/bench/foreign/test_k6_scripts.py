# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resonance.bench.errors import PlanError
from resonance.bench.foreign import k6_script
from resonance.bench.foreign.marks import Mark
from resonance.bench.plan import Load, Request, Stage, Target

Evaluate = Callable[[str], Any]

NODE = shutil.which("node")
TARGET = Target("http", "127.0.0.1", 8080, "/path?q=1")
LOAD = Load(TARGET, (Stage(30.0, 2_000.0),), "constant")
CALLS = 400
RUNNER = """\
import sent from 'k6/http';
import call, {{ options }} from './script.mjs';
for (let number = 0; number < {calls}; number++) call();
console.log(JSON.stringify({{ options, sent: sent.taken }}));
"""
STUB = """\
const taken = [];
function bytes(body) {
  if (body === null) return [];
  return Array.from(typeof body === 'string' ? Buffer.from(body) : new Uint8Array(body));
}
export default {
  taken,
  request(method, url, body, params) {
    taken.push({ method, url, body: bytes(body), ...params,
                 headers: Object.entries(params.headers) });
  },
};
"""
TOKENS = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}", fullmatch=True)
VALUES = st.from_regex(r"[\t\x20-\x7e\x80-\xff]{0,20}", fullmatch=True)


def options_of(script: str) -> Any:
    found = re.search(r"^export const options = (\{.*?^\});$", script, re.MULTILINE | re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def scenario_of(load: Load) -> Any:
    return options_of(k6_script(load))["scenarios"]["load"]


@pytest.fixture
def evaluate(tmp_path: Path) -> Evaluate:
    if NODE is None:
        pytest.skip("node is not installed")
    package = tmp_path / "node_modules/k6"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"exports": {"./http": "./http.mjs"}}')
    (package / "http.mjs").write_text(STUB)
    (tmp_path / "runner.mjs").write_text(RUNNER.format(calls=CALLS))

    def evaluate(script: str) -> Any:
        (tmp_path / "script.mjs").write_text(script)
        subprocess.run([NODE, "--check", "script.mjs"], cwd=tmp_path, check=True, timeout=60)
        done = subprocess.run(
            [NODE, "runner.mjs"], cwd=tmp_path, check=True, timeout=60, capture_output=True
        )
        return json.loads(done.stdout)

    return evaluate


def test_one_rate_is_a_constant_one() -> None:
    assert scenario_of(replace(LOAD, connections=100, processes=2, timeout_seconds=2.5)) == {
        "executor": "constant-arrival-rate",
        "rate": 2000,
        "timeUnit": "1s",
        "duration": "30s",
        "preAllocatedVUs": 200,
        "maxVUs": 200,
        "gracefulStop": "2.5s",
    }


def test_a_rate_that_is_not_whole_is_told_of_a_longer_time() -> None:
    scenario = scenario_of(replace(LOAD, stages=(Stage(1.5, 0.25),)))
    assert (scenario["rate"], scenario["timeUnit"], scenario["duration"]) == (1, "4s", "1.5s")


def test_stages_are_ramps_and_jumps() -> None:
    stages = (Stage(10.0, 100.0), Stage(5.0, 100.0, 200.0), Stage(5.0, 400.0, 0.0))
    scenario = scenario_of(replace(LOAD, stages=stages))
    assert scenario["executor"] == "ramping-arrival-rate"
    assert (scenario["startRate"], scenario["timeUnit"]) == (100, "1s")
    assert scenario["stages"] == [
        {"target": 100, "duration": "10s"},
        {"target": 200, "duration": "5s"},
        {"target": 400, "duration": "0s"},
        {"target": 0, "duration": "5s"},
    ]


@given(
    st.lists(
        st.tuples(st.floats(0.1, 100.0), st.floats(0.001, 1_000.0), st.floats(0.001, 1_000.0)),
        min_size=1,
        max_size=4,
    )
)
def test_as_many_calls_are_due_as_in_the_load(stages: list[tuple[float, float, float]]) -> None:
    load = replace(LOAD, stages=tuple(Stage(*each) for each in stages))
    scenario = scenario_of(load)
    unit = float(scenario["timeUnit"].removesuffix("s"))
    now = scenario.get("startRate", scenario.get("rate"))
    calls = 0.0
    for each in scenario.get("stages", [{"target": now, "duration": scenario.get("duration")}]):
        seconds = float(each["duration"].removesuffix("s"))
        calls += seconds * (now + each["target"]) / 2 / unit
        now = each["target"]
    # Rates are told in thousandths, durations in microseconds.
    room = load.seconds * 0.0006 + len(stages) * 1_000.0 * 1e-6
    assert calls == pytest.approx(load.calls, abs=room)


def test_the_script_tells_of_itself() -> None:
    load = replace(LOAD, warm_up_seconds=5.0, requests=(Request("a"), Request("b")))
    mark = msgspec.json.decode(options_of(k6_script(load))["tags"]["resonance"], type=Mark)
    assert mark == Mark(
        target="http://127.0.0.1:8080/path?q=1",
        rate=2_000.0,
        seconds=30.0,
        warm_up_seconds=5.0,
        requests=["a", "b"],
    )


def test_thresholds_are_those_of_the_scenario() -> None:
    texts = ("p99<20ms", "p99.9<=1s", "max<2s", "failed<1%", "achieved>=0.995")
    assert options_of(k6_script(LOAD, texts))["thresholds"] == {
        "http_req_duration": ["p(99)<20", "p(99.9)<=1000", "max<2000"],
        "http_req_failed": ["rate<0.01"],
        "dropped_iterations": ["count<=300"],
    }
    assert options_of(k6_script(LOAD))["thresholds"] == {"dropped_iterations": ["count<=600"]}
    with pytest.raises(PlanError, match="no threshold"):
        k6_script(LOAD, ("p99",))


def test_its_summary_has_the_far_tail() -> None:
    assert "p(99.9)" in options_of(k6_script(LOAD))["summaryTrendStats"]


@pytest.mark.parametrize(
    ("target", "begins", "insecure"),
    [
        (Target("http", "::1", 80, "/"), "http://[::1]:80/", False),
        (Target("https", "h", 443, "/"), "https://h:443/", False),
        (Target("https", "h", 443, "/", verify=False), "https://h:443/", True),
        (Target("h2", "h", 443, "/", verify=False), "https://h:443/", True),
    ],
)
def test_where_calls_go(target: Target, begins: str, insecure: bool) -> None:
    script = k6_script(replace(LOAD, target=target))
    assert f'url: "{begins}"' in script
    assert options_of(script)["insecureSkipTLSVerify"] is insecure
    # Without it, k6 would speak HTTP/2 with who offers it.
    assert ("GODEBUG=http2client=0 k6 run" in script) is (target.scheme == "https")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"target": Target("grpc", "h", 1, "/p.S/M")}, "target"),
        ({"target": Target("frames", "h", 1, "")}, "target"),
        ({"target": Target("h2c", "h", 1)}, "target"),
        ({"target": Target("http", "localhost", 0, unix_socket="/s")}, "target"),
        ({"arrival": "poisson"}, "arrival"),
        ({"stages": (Stage(1.0, 0.0004),)}, "rate"),
        ({"requests": (Request(headers=(("A", "1"), ("a", "2"))),)}, "request all"),
        ({"requests": (Request(headers=(("A", "1\r\nB: 2"),)),)}, "header"),
    ],
)
def test_what_it_cannot_send_is_refused(change: dict[str, Any], key: str) -> None:
    with pytest.raises(PlanError) as error_info:
        k6_script(replace(LOAD, **change))
    assert error_info.value.key == key


def test_it_sends_what_was_asked_for(evaluate: Evaluate) -> None:
    requests = (
        Request("read", weight=3.0, headers=(("Accept", "a/b"), ("__proto__", "x"))),
        Request("text", method="POST", path="/t", body="line\u2028\"'\\ \0 é".encode()),
        Request("raw", method="PUT", path="/r?a='b'", body=bytes(range(256))),
    )
    taken = evaluate(k6_script(replace(LOAD, requests=requests)))
    by_name: dict[str, list[Any]] = {}
    for each in taken["sent"]:
        assert each["timeout"] == "10s"
        by_name.setdefault(each["tags"]["name"], []).append(each)
    for request in requests:
        for each in by_name[request.name]:
            assert each["method"] == request.method
            assert each["url"] == f"http://127.0.0.1:8080{request.path or TARGET.path}"
            assert bytes(each["body"]) == request.body
            assert each["headers"] == [list(header) for header in request.headers]
    # Each is right by eight standard deviations.
    assert 160 <= len(by_name["read"]) <= 320
    assert taken["options"]["scenarios"]["load"]["rate"] == 2_000


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(min_size=1, max_size=20), TOKENS, TOKENS, VALUES, st.binary(max_size=40))
def test_whatever_is_in_a_request_goes_out_unchanged(
    evaluate: Evaluate, name: str, method: str, header: str, value: str, body: bytes
) -> None:
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        name = "plain"
    request = Request(name, method=method, headers=((header, value),), body=body)
    sent = evaluate(k6_script(replace(LOAD, requests=(request,))))["sent"]
    assert len(sent) == CALLS
    assert sent[0]["tags"]["name"] == name
    assert sent[0]["method"] == method
    assert sent[0]["headers"] == [[header, value.strip()]]
    assert bytes(sent[0]["body"]) == body
