# SPDX-License-Identifier: MIT
from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from fakes.bench_reports import (
    FOREIGN,
    compared,
    disturbed,
    experiment,
    failing,
    many_arms,
    quick_run,
)  # fmt: skip
from fakes.bench_runs import run, scene, slot
from resonance.bench.comparing import compare
from resonance.bench.records import Scene
from resonance.bench.report import page, pictures
from resonance.errors import MissingExtraError

VOID = {"br", "link", "meta"}
MOST_BYTES = 2_000_000
SCENES = 5
"""Of an experiment that must still fit."""


class _Reader(HTMLParser):
    """What a browser would see: tags in balance, their attributes, the text of tables."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader


def _text(html: str) -> str:
    return re.sub(r"\s+", " ", " ".join(_read(html).text))


def _page(*scenes: Scene) -> str:
    measured = experiment(*scenes)
    return page(measured, compared(measured))


def _rows(html: str) -> Iterator[tuple[str, str]]:
    """Yield the rows of the first table."""
    html = html[: html.index("</table>")]
    for row in re.findall(r"<tr><th scope=row>(.*?)</tr>", html, re.DOTALL):
        name, _, cells = row.partition("</th>")
        yield re.sub(r" ?<small>.*", "", name), cells


def test_every_tag_is_closed(html: str) -> None:
    assert _read(html).open == []


def test_it_asks_for_nothing_beyond_itself(html: str) -> None:
    asked = [value for name, value in _read(html).attributes if name in {"href", "src", "srcset"}]
    assert all(value == "data:," or value.startswith("#") for value in asked)
    assert set(re.findall(r"url\((.)", html)) <= {"#"}
    for forbidden in ("<script", "<iframe", "@import", "@font-face", "<?xml", "<!DOCTYPE svg"):
        assert forbidden not in html
    outside = set(re.findall(r"\w+://[^\s<\"]*", html))
    assert outside <= {"http://127.0.0.1:8080/"}  # the target, as text


def test_no_name_is_used_twice_and_all_that_are_used_exist(html: str) -> None:
    attributes = _read(html).attributes
    names = [value for name, value in attributes if name == "id"]
    assert len(names) == len(set(names))
    used = {value[1:] for name, value in attributes if name == "href" and value[0] == "#"}
    used |= set(re.findall(r"url\(#([^)]+)\)", html))
    assert used
    assert used <= set(names)


def test_the_same_results_make_the_same_page() -> None:
    first, second = (_page(failing()) for _ in range(2))
    assert first == second


def test_what_others_named_is_text_and_nothing_else(html: str) -> None:
    assert "<b>&" not in html
    assert "<i>" not in html
    assert "<nobody>" not in html
    assert "<web>" not in html
    assert "\u202e" not in html
    assert FOREIGN.replace("\u202e", "?") in _text(html)


def test_the_head_says_where_and_when(html: str) -> None:
    text = _text(html)
    for told in (
        "Example CPU, 2 CPUs",
        "Linux 6.6.0-example",
        "2023-11-14 22:13 UTC",
        "14.7 minutes",
        "release 0.1.0",
        "not as it was found",
        "cpu.max of <web>",
    ):
        assert told in text


def test_a_host_that_was_left_as_found_is_said_to_be() -> None:
    assert "left as it was found" in _text(_page(failing()))
    measured = experiment(failing(), differences=None)
    assert "as it was found" not in _text(page(measured, compared(measured)))


def test_runs_without_an_experiment_have_a_head_too() -> None:
    alone = failing()
    text = _text(page([alone], [compare(alone)], title="Mine"))
    assert text.startswith(" Mine ")
    assert "Example CPU" in text
    assert "took 5 s" in text


def test_only_what_is_beyond_chance_is_marked(html: str) -> None:
    rows = dict(_rows(html))
    assert '<small class="good">▼ 0.80' in rows["p2c"]
    assert '<small class="bad">▲ 1.6' in rows["worse"]
    assert "▼" not in rows["random again"]
    assert "▲" not in rows["random again"]
    assert "<small>1.0" in rows["random again"]
    assert "<small>" not in rows["random"]


def test_costs_stand_beside_what_they_bought(html: str) -> None:
    heads = html[html.index("<thead>") : html.index("</thead>")]
    for told in ("extra requests", "wasted work", "batch job p50", "batch rate", "lateness p99"):
        assert told in heads
    rows = dict(_rows(html))
    assert "<td>3.0 %</td><td>1.0 %</td><td>2.00</td><td>0.50</td>" in rows["batch idle"]


def test_the_sentence_names_the_best_arm_and_the_placebo(html: str) -> None:
    text = _text(html).replace("\u2060", "")
    assert f"p99 is less beyond chance in 10 of 12 arms; least with {FOREIGN[:3]}" in text
    assert "p99 is more beyond chance in 1 of 12 arms; most with worse" in text
    assert "The placebo, the baseline once more: 1.0" in text


def test_percentiles_of_what_is_doubtful_are_withheld_and_it_says_so_in_red(html: str) -> None:
    section = html[html.index('id="scene-2"') : html.index('id="scene-3"')]
    assert '<p class="bad">Percentiles are withheld' in section
    assert "Left out by the rule: 3 of 3 repetitions" in section
    assert "0.90 CPUs were used by others" in section
    rows = dict(_rows(section))
    for cells in rows.values():
        assert cells.count('<span class="bad">withheld</span>') == 4
        assert '<span class="bad">3 of 3</span>' in cells
        assert "<b>" not in cells
    drawn = re.findall(r"<h3>(.*?)</h3>", section)
    assert drawn == ["Was it steady?"]
    assert "withheld</text>" in section
    assert "p99</text>" not in section


def test_a_repetition_that_is_left_out_is_not_in_the_timeline_either() -> None:
    good, bad = (run(name, doubtful=each, calls=350) for name, each in (("a", [1]), ("b", ())))
    section = _page(scene(good, bad))
    assert "Left out by the rule: 1 of 8 repetitions" in section
    assert "Red: withheld" in section
    assert '<span class="bad">1 of 8</span>' in dict(_rows(section))["a"]


def test_a_placebo_that_differs_makes_it_all_doubtful() -> None:
    arms = quick_run("random", 1.0), quick_run("random again", 1.3), quick_run("p2c", 0.5)
    section = _page(scene(*arms, placebo="random again"))
    assert "Too noisy: the placebo" in section
    assert "▼" not in section[: section.index("<footer>")]
    assert "0.50 (" in section


def test_few_repetitions_prove_nothing() -> None:
    arms = [quick_run(name, scale, repetitions=3) for name, scale in (("a", 1.0), ("b", 0.5))]
    section = _page(scene(*arms))
    assert "Only 3 of the 6 repetitions" in section
    assert "▼" not in section[: section.index("<footer>")]
    assert "95 % interval" not in _text(section[: section.index("<footer>")])


def test_a_run_alone_is_not_compared_but_shown_from_its_sending_too(html: str) -> None:
    section = html[html.index('id="scene-3"') : html.index("<footer>")]
    assert "from sending" in section
    assert "baseline" not in section
    assert re.findall(r"<h3>(.*?)</h3>", section) == [
        "Response time by percentile",
        "How many take longer",
        "Was it steady?",
    ]


def test_why_a_percentile_is_not_told_stands_below_the_table(html: str) -> None:
    section = html[html.index('id="scene-3"') : html.index("<footer>")]
    assert "p99.9 is not told: " in section
    assert "of the calls of a slot were never answered" in section


def test_failures_are_told_by_their_kind(html: str) -> None:
    section = html[html.index('id="scene-3"') : html.index("<footer>")]
    assert "6 timeout, 60 reset" in section
    assert "1 process, real-time" in section


def test_a_closed_loop_is_not_called_an_open_one() -> None:
    text = _text(_page(scene(run("k6", arrival="closed", tool="k6", repetitions=1))))
    assert "closed loop" in text
    assert "open loop" not in text
    assert "open loop" in _text(_page(failing()))


def test_slots_without_any_answer_make_a_page_all_the_same() -> None:
    text = _text(_page(scene(run("dead", slots=[slot([])]))))
    assert "Percentiles are withheld" in text
    assert "Left out by the rule: 1 of 1 repetitions" in text


def test_a_large_experiment_fits_in_two_megabytes() -> None:
    html = _page(many_arms(repetitions=12))
    assert len(html.encode()) <= MOST_BYTES / SCENES


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"a report needs matplotlib.*\[bench\]"):
        _page(failing())


def test_its_import_loads_no_matplotlib() -> None:
    code = "import sys, resonance.bench.report; print('matplotlib' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout == "False\n"


def test_pictures_are_those_of_the_page_as_png() -> None:
    comparisons = [compare(disturbed()), compare(failing())]
    found = pictures(comparisons)
    assert list(found) == [
        "1-disturbed-timeline.png",
        "2-alone-percentiles.png",
        "2-alone-beyond.png",
        "2-alone-timeline.png",
    ]
    for data in found.values():
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        assert int.from_bytes(data[16:20], "big") == 720
    assert pictures(comparisons) == found


def test_names_of_pictures_are_safe_whatever_the_scene_is_called() -> None:
    alone = scene(run("a", repetitions=1), name="../../etc: $HOME/\u202e")
    assert {name.rpartition("-")[0] for name in pictures([compare(alone)])} == {"1-etc-home"}


def test_each_kind_of_request_of_a_mix_has_its_row() -> None:
    slots = [
        slot([0.001, 0.001, 0.009] * 400, repetition=place, parts={"read <b>": 2, "write": 1})
        for place in range(2)
    ]
    html = page([one := scene(run("a", slots=slots))], [compare(one)])
    rows = re.search(r'aria-label="requests".*?</table>', html, re.DOTALL)
    assert rows
    cells = [re.sub("<[^>]+>", " ", row).split() for row in rows[0].split("<tr>")[2:]]
    assert cells[0][:6] == ["a", "read", "&lt;b&gt;", "1,600", "0", "1.00"]
    assert cells[1][:5] == ["a", "write", "800", "0", "9.00"]
    assert cells[1][-1] == "\N{EN DASH}"  # 400 answers in a slot tell no p99.9


def test_without_a_mix_there_is_no_table_of_requests() -> None:
    html = page([one := scene(run("a"))], [compare(one)])
    assert 'aria-label="requests"' not in html
