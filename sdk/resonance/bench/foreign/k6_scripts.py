# SPDX-License-Identifier: MIT
"""How is a load said to k6, so that it sends the same at the same rate?

An iteration is one call. k6 has executors that begin iterations at a rate, evenly spaced, and
drops those for which no virtual user is free, which is our open loop with a limit on
connections. What it times is from sending on; `resonance.bench.foreign.k6_results` adds what it
tells of the wait before.

References
----------
Grafana k6 documentation: "Constant arrival rate", "Ramping arrival rate", "Options reference",
"Params", "System and user-defined tags".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import accumulate
from math import gcd
from typing import Final

from resonance.bench.errors import PlanError
from resonance.bench.foreign.marks import TAG, mark_of
from resonance.bench.plan import Load, Request, Stage, Target
from resonance.bench.records import Rule
from resonance.bench.scenarios import checked_header, parse_threshold

__all__ = ["k6_script"]

_TREND_STATS: Final = ("avg", "min", "med", "p(90)", "p(95)", "p(99)", "p(99.9)", "max", "count")
_SYSTEM_TAGS: Final = ("name", "status", "error_code")
"""All that reading the points needs; the rest would be most of the file."""
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_PER_SECOND: Final = 1_000
"""*Chosen*: rates are told in thousandths of a call per second."""

_SCRIPT: Final = """\
// {about}
// Run it, and read what it measured:
//   {environment}k6 run --out json=points.json.gz THIS_FILE
//   resonance bench import points.json.gz --from k6 --output run.json
// Thresholds here are of all calls, those of a warm-up too, and from sending on.
import http from 'k6/http';

const timeout = {timeout};
const requests = [
{requests}
];

export const options = {options};

export default function () {{
  const draw = Math.random();
  const request = requests.find((each) => draw < each.upTo) || requests[requests.length - 1];
  http.request(request.method, request.url, request.body, {{
    headers: request.headers,
    timeout,
    tags: {{ name: request.name }},
  }});
}}
"""


def k6_script(load: Load, thresholds: Sequence[str] = ()) -> str:
    """Return a load as a script for k6.

    Parameters
    ----------
    load : Load
        Over HTTP with TCP, of constant arrival.
    thresholds : sequence of str
        As `resonance.bench.scenarios.parse_threshold` reads them.

    Returns
    -------
    str
        JavaScript, ASCII.

    Raises
    ------
    PlanError
        k6 cannot send it, and what to do; or a threshold is none.
    """
    _refuse(load)
    target = load.target
    seconds = f"{load.seconds:g} s"
    return _SCRIPT.format(
        about=f"{load.rate_per_second:g} calls/s for {seconds} to {json.dumps(str(target))}",
        environment=_environment(target),
        timeout=json.dumps(_duration(load.timeout_seconds)),
        requests="\n".join(_requests(load)),
        options=json.dumps(_options(load, thresholds), indent=2),
    )


def _refuse(load: Load) -> None:
    target = load.target
    if target.scheme not in {"http", "https", "h2"}:
        raise PlanError(
            "target", f"k6 cannot send the same as {target.scheme}; export one of http or https"
        )
    if target.unix_socket:
        raise PlanError("target", "k6 knows no Unix sockets; let the server listen on TCP as well")
    if load.arrival != "constant":
        raise PlanError(
            "arrival",
            "k6 begins calls evenly spaced; say --arrival constant, and measure so too to compare",
        )


def _environment(target: Target) -> str:
    """Return what k6 must find in its environment; the programs of Go read these two."""
    words: list[str] = []
    if target.scheme == "https":
        words.append("GODEBUG=http2client=0")
    if target.certificate_authorities:
        words.append("SSL_CERT_FILE=YOUR_AUTHORITIES.pem")
    return "".join(f"{word} " for word in words)


def _requests(load: Load) -> list[str]:
    total = sum(each.weight for each in load.requests)
    up_to = accumulate(each.weight / total for each in load.requests)
    return [
        _request(load.target, each, share) for each, share in zip(load.requests, up_to, strict=True)
    ]


def _request(target: Target, request: Request, up_to: float) -> str:
    scheme = "http" if target.scheme == "http" else "https"
    host = f"[{target.host}]" if ":" in target.host else target.host
    url = f"{scheme}://{host}:{target.port}{request.path or target.path}"
    headers = [checked_header(*header) for header in request.headers]
    names = [name.lower() for name, _ in headers]
    for name in names:
        if names.count(name) > 1:
            raise PlanError(
                f"request {request.name}", f"k6 cannot send the header {name} twice; join them"
            )
    # An object made of pairs, as a literal gives the name __proto__ a meaning of its own.
    return (
        f"  {{ name: {json.dumps(request.name)}, upTo: {up_to!r},"
        f" method: {json.dumps(request.method)}, url: {json.dumps(url)},\n"
        f"    headers: Object.fromEntries({json.dumps(headers)}),\n"
        f"    body: {_body(request.body)} }},"
    )


def _body(body: bytes) -> str:
    if not body:
        return "null"
    try:
        return json.dumps(body.decode())
    except UnicodeDecodeError:
        return f"new Uint8Array({json.dumps(list(body))}).buffer"


def _options(load: Load, thresholds: Sequence[str]) -> dict[str, object]:
    target = load.target
    return {
        "scenarios": {"load": _scenario(load)},
        "thresholds": _thresholds(load, thresholds),
        "summaryTrendStats": _TREND_STATS,
        "systemTags": _SYSTEM_TAGS,
        "tags": {TAG: mark_of(load)},
        "discardResponseBodies": True,
        "maxRedirects": 0,
        "insecureSkipTLSVerify": target.is_tls and not target.verify,
    }


def _scenario(load: Load) -> dict[str, object]:
    users = load.connections * load.processes
    rates = [rate for stage in load.stages for rate in _rates(stage)]
    common = gcd(_PER_SECOND, *rates)
    common_options: dict[str, object] = {
        "timeUnit": f"{_PER_SECOND // common}s",
        "preAllocatedVUs": users,
        "maxVUs": users,
        "gracefulStop": _duration(load.timeout_seconds),
    }
    if len(load.stages) == 1 and rates[0] == rates[1]:
        return {
            "executor": "constant-arrival-rate",
            "rate": rates[0] // common,
            "duration": _duration(load.seconds),
            **common_options,
        }
    stages: list[dict[str, object]] = []
    now = rates[0]
    for stage in load.stages:
        begin, end = _rates(stage)
        if begin != now:
            stages.append({"target": begin // common, "duration": "0s"})
        stages.append({"target": end // common, "duration": _duration(stage.seconds)})
        now = end
    return {
        "executor": "ramping-arrival-rate",
        "startRate": rates[0] // common,
        "stages": stages,
        **common_options,
    }


def _rates(stage: Stage) -> tuple[int, int]:
    """Return the rates at both ends, in thousandths of a call per second."""
    begin = round(stage.rate_per_second * _PER_SECOND)
    end = round(stage.end_rate_per_second * _PER_SECOND)
    if not (begin or end):
        raise PlanError("rate", "is below one call in 2,000 s, which a script for k6 does not tell")
    return begin, end


def _thresholds(load: Load, texts: Sequence[str]) -> dict[str, list[str]]:
    by_metric: dict[str, list[str]] = {}
    thresholds = [parse_threshold(text) for text in texts]
    if not any(each.name == "achieved" for each in thresholds):
        thresholds.append(parse_threshold(f"achieved>={Rule().min_achieved_ratio:g}"))
    for each in thresholds:
        if each.is_duration:
            name = "max" if each.name == "max" else f"p({each.name[1:]})"
            metric, text = "http_req_duration", f"{name}{each.comparison}{each.bar * 1e3:.9g}"
        elif each.name == "failed":
            metric, text = "http_req_failed", f"rate{each.comparison}{each.bar:.9g}"
        else:
            most = (1.0 - each.bar) * load.calls
            metric, text = "dropped_iterations", f"count{_FLIPPED[each.comparison]}{most:.9g}"
        by_metric.setdefault(metric, []).append(text)
    return by_metric


def _duration(seconds: float) -> str:
    """Return a duration as Go reads it, to the microsecond."""
    text = f"{seconds:.6f}".rstrip("0").rstrip(".")
    return f"{text}s"
