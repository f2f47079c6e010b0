# SPDX-License-Identifier: MIT
"""The page as readers have it: in Chromium, as wide as a phone and as a desk, light and dark.

A script beside the page, not in it, measures it in a frame; Chromium prints what it found.
"""

from __future__ import annotations

import html as markup
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium: install chromium")
TIMEOUT_SECONDS = 100
PHONE, DESK = 360, 1280
LEAST_CONTRAST = 4.5
"""Of text: WCAG 2.2, success criterion 1.4.3."""
LIGHT, DARK = 1, 0
"""Of Chromium's own setting."""

PROBE = """
const channel = (value) => { value /= 255;
  return value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4; };
const parsed = (colour) => colour.match(/[\\d.]+/g).map(Number);
const luminance = (colour) => { const [r, g, b] = parsed(colour).map(channel);
  return .2126 * r + .7152 * g + .0722 * b; };
const contrast = (one, two) => { const [high, low] = [luminance(one), luminance(two)]
  .sort((a, b) => b - a); return (high + .05) / (low + .05); };
const isOpaque = (colour) => { const [, , , alpha = 1] = parsed(colour); return alpha === 1; };
const behind = (view, element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = view.getComputedStyle(at).backgroundColor;
    if (isOpaque(colour)) return colour;
  }
  return 'rgb(255, 255, 255)';
};
addEventListener('load', () => {
  const frame = document.querySelector('iframe');
  const [view, page] = [frame.contentWindow, frame.contentDocument];
  page.querySelectorAll('details').forEach((each) => { each.open = true; });
  const root = page.documentElement;
  const texts = [...page.body.querySelectorAll('*')].filter((each) =>
    [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  const low = [], outside = [];
  for (const each of texts) {
    const style = view.getComputedStyle(each);
    const colour = each.namespaceURI.endsWith('svg') ? style.fill : style.color;
    const ratio = contrast(colour, behind(view, each));
    if (ratio < LEAST) low.push([each.textContent.trim().slice(0, 40), colour, ratio]);
  }
  const drawings = [...page.querySelectorAll('svg')].map((each) => {
    const whole = each.getBoundingClientRect();
    for (const text of each.querySelectorAll('text')) {
      const at = text.getBoundingClientRect();
      if (at.left < whole.left - 1 || at.right > whole.right + 1
          || at.top < whole.top - 1 || at.bottom > whole.bottom + 1)
        outside.push([each.getAttribute('aria-label'), text.textContent]);
    }
    return [whole.width, whole.height];
  });
  const style = view.getComputedStyle(root);
  const variable = (name) => style.getPropertyValue('--' + name).trim();
  const plate = page.body.appendChild(page.createElement('p'));
  const shown = (name) => { plate.style.color = variable(name);
    return view.getComputedStyle(plate).color; };
  const onShade = contrast(shown('bad'), shown('shade'));
  const letters = Math.min(...[...page.querySelectorAll('svg text')].map(
    (each) => parseFloat(view.getComputedStyle(each).fontSize)
      * each.ownerSVGElement.getBoundingClientRect().width
      / each.ownerSVGElement.viewBox.baseVal.width));
  document.querySelector('pre').textContent = JSON.stringify({
    isDark: view.matchMedia('(prefers-color-scheme: dark)').matches,
    width: view.innerWidth, wide: root.scrollWidth, texts: texts.length, low, outside,
    drawings, onShade, letters, paper: view.getComputedStyle(page.body).backgroundColor,
    asked: view.performance.getEntriesByType('resource').map((each) => each.name),
  });
});
"""
Look = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """Return a function that shows a page to Chromium and returns what the probe found."""

    def look(page: str, width: int = PHONE, scheme: int = LIGHT) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("chromium")
        wrapper = folder / "wrapper.html"
        wrapper.write_text(
            "<!doctype html><meta charset=utf-8><link rel=icon href='data:,'><pre></pre>"
            f"<iframe style='border:0;height:4000px;width:{width}px' "
            f'srcdoc="{markup.escape(page)}"></iframe>'
            f"<script>const LEAST = {LEAST_CONTRAST};{PROBE}</script>",
            encoding="utf-8",
        )
        told = subprocess.run(
            [
                CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND",
                f"--user-data-dir={folder / 'profile'}", "--window-size=1400,1000",
                f"--blink-settings=preferredColorScheme={scheme}", "--dump-dom", wrapper.as_uri(),
            ],
            check=True, capture_output=True, text=True, timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
        found = re.search(r"<pre>(\{.*?\})</pre>", told.stdout, re.DOTALL)
        assert found, told.stderr or told.stdout
        seen: dict[str, Any] = json.loads(markup.unescape(found[1]))
        seen["console"] = [line for line in told.stderr.splitlines() if "CONSOLE" in line]
        return seen

    return look


@pytest.fixture(
    scope="session",
    params=[(PHONE, LIGHT), (PHONE, DARK), (DESK, LIGHT), (DESK, DARK)],
    ids=["phone, light", "phone, dark", "desk, light", "desk, dark"],
)
def seen(request: pytest.FixtureRequest, look: Look, html: str) -> dict[str, Any]:
    width, scheme = request.param
    found = look(html, width, scheme)
    assert (found["width"], found["isDark"]) == (width, scheme == DARK)
    return found


def test_nothing_is_wider_than_the_screen(seen: dict[str, Any]) -> None:
    assert seen["wide"] <= seen["width"]


def test_all_text_has_contrast_enough(seen: dict[str, Any]) -> None:
    assert seen["texts"] > 500
    assert seen["low"] == []
    assert seen["onShade"] >= LEAST_CONTRAST


def test_the_paper_is_of_the_scheme(seen: dict[str, Any]) -> None:
    (brightness,) = {int(each) // 50 for each in re.findall(r"\d+", seen["paper"])}
    assert brightness == (0 if seen["isDark"] else 5)


def test_every_drawing_is_to_be_seen_and_its_text_is_within(seen: dict[str, Any]) -> None:
    assert len(seen["drawings"]) == 8
    assert all(width > 200 and height > 60 for width, height in seen["drawings"])
    assert seen["outside"] == []


def test_the_smallest_letters_of_a_drawing_can_be_read(seen: dict[str, Any]) -> None:
    assert seen["letters"] >= 9.0


def test_no_request_leaves_the_page_and_nothing_is_complained_of(seen: dict[str, Any]) -> None:
    assert seen["asked"] == []
    assert seen["console"] == []


def test_what_the_probe_looks_for_it_finds(look: Look, tmp_path: Path) -> None:
    poor = (
        "<!doctype html><body style='margin:0;background:#fff'><p style='color:#999'>grey</p>"
        "<div style='width:500px'>wide</div><img src='http://elsewhere.invalid/a.png'>"
        "<style>:root{--bad:#f00;--shade:#f11}</style>"
        "<svg aria-label=a viewBox='0 0 10 10' width=10><text x=50 font-size=4>out</text></svg>"
        "<script>console.error('complained')</script>"
    )
    found = look(poor)
    assert [text for text, _, _ in found["low"]] == ["grey"]
    assert found["low"][0][2] == pytest.approx(2.85, abs=0.01)
    assert found["wide"] == 500
    assert found["asked"] == ["http://elsewhere.invalid/a.png"]
    assert found["outside"] == [["a", "out"]]
    assert found["onShade"] < 1.1
    assert found["drawings"] == [[10, 10]]
    assert any("complained" in line for line in found["console"])
