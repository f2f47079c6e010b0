# SPDX-License-Identifier: MIT
"""What wrk2 and k6 write down, made up: texts of known latencies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import ceil

__all__ = ["STARTED_AT", "dropped", "request_points", "spectrum", "wrk2_text"]

STARTED_AT = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
_SHARES = (0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 0.99999, 1.0)


def spectrum(latencies_us: Sequence[int], title: str = "Recorded Latency") -> str:
    """Return what HdrHistogram prints of latencies below 2,048 us, which it tells apart."""
    ordered = sorted(latencies_us)
    total = len(ordered)
    lines = [f"  Latency Distribution (HdrHistogram - {title})"]
    for share in _SHARES:
        at = ordered[max(1, ceil(share * total)) - 1]
        lines.append(f"{share * 100:7.3f}%{_time(at):>9}")
    lines += ["", "  Detailed Percentile spectrum:"]
    lines += ["       Value   Percentile   TotalCount 1/(1-Percentile)", ""]
    for share in _ticks(total):
        value = ordered[max(1, ceil(share * total)) - 1]
        count = sum(each <= value for each in ordered)
        beyond = f"{1 / (1 - share):.2f}" if share < 1.0 else "inf"
        lines.append(f"{value / 1e3:12.3f} {share:12.6f} {count:12d} {beyond:>12}")
    mean = sum(ordered) / total / 1e3
    lines.append(f"#[Mean    = {mean:12.3f}, StdDeviation   = {0.0:12.3f}]")
    lines.append(f"#[Max     = {ordered[-1] / 1e3:12.3f}, Total count    = {total:12d}]")
    lines.append(f"#[Buckets = {27:12d}, SubBuckets     = {2048:12d}]")
    return "\n".join([*lines, "-" * 58, ""])


def wrk2_text(
    latencies_us: Sequence[int],
    *,
    seconds: float = 5.0,
    requests: int | None = None,
    is_calibrated: bool = False,
    uncorrected_us: Sequence[int] | None = None,
    errors: str = "",
) -> str:
    """Return what wrk2 prints."""
    lines = [
        f"Running {seconds:.0f}s test @ http://127.0.0.1:8080/path?q=1",
        "  2 threads and 16 connections",
    ]
    if is_calibrated:
        lines.append("  Thread calibration: mean lat.: 1.004ms, rate sampling interval: 10ms")
    lines += [
        "  Thread Stats   Avg      Stdev     Max   +/- Stdev",
        "    Latency     1.09ms    0.42ms   4.91ms   88.60%",
        "    Req/Sec   213.41     30.89   333.00     88.60%",
        spectrum(latencies_us),
    ]
    if uncorrected_us is not None:
        title = "Uncorrected Latency (measured without taking delayed starts into account)"
        lines += ["", spectrum(uncorrected_us, title)]
    count = len(latencies_us) if requests is None else requests
    lines.append(f"  {count} requests in {seconds:.2f}s, 93.79KB read")
    if errors:
        lines.append(errors)
    lines += [f"Requests/sec: {count / seconds:9.2f}", "Transfer/sec:      7.81KB", ""]
    return "\n".join(line.removesuffix("\n") for line in lines)


def request_points(
    at_seconds: float,
    duration_ms: float,
    *,
    blocked_ms: float = 0.0,
    status: str = "200",
    error_code: str = "",
    name: str = "all",
    mark: str = "",
) -> list[str]:
    """Return the lines k6 writes of one request, due at a time and over when it was answered."""
    ended = STARTED_AT + timedelta(seconds=at_seconds, milliseconds=blocked_ms + duration_ms)
    tags = {"status": status, "name": name, "expected_response": "true"}
    tags |= {"error_code": error_code} if error_code else {}
    tags |= {"resonance": mark} if mark else {}
    values = {
        "http_reqs": 1,
        "http_req_duration": duration_ms,
        "http_req_blocked": blocked_ms,
        "http_req_connecting": blocked_ms / 2,
        "http_req_waiting": duration_ms,
    }
    return [_point(metric, ended, value, tags) for metric, value in values.items()]


def dropped(at_seconds: float, count: int = 1) -> str:
    """Return the line k6 writes of iterations for which no virtual user was free."""
    moment = STARTED_AT + timedelta(seconds=at_seconds)
    return _point("dropped_iterations", moment, count, None)


def _point(metric: str, moment: datetime, value: float, tags: dict[str, str] | None) -> str:
    # Go writes nine digits where it has them.
    time = f"{moment:%Y-%m-%dT%H:%M:%S.%f}000+00:00"
    data = {"time": time, "value": value, "tags": tags}
    return json.dumps({"metric": metric, "type": "Point", "data": data})


def _ticks(total: int) -> list[float]:
    ticks, share, half = [], 0.0, 1.0
    while half * total > 0.5:
        ticks += [share + half / 10 * step for step in range(5)]
        share += half / 2
        half /= 2
    return [*ticks, 1.0]


def _time(us: int) -> str:
    return f"{us / 1e3:.2f}ms" if us >= 850 else f"{us:.2f}us"
