# SPDX-License-Identifier: MIT
"""How does a drawing become SVG within a page, or PNG, and the same bytes each time?

The only file that imports matplotlib. Text stays text: the page's own font, which can be
searched, enlarged and read aloud.
"""

from __future__ import annotations

import importlib
import io
import re
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from resonance.bench.report.palette import LIGHT, MARKED, Palette, with_variables
from resonance.errors import MissingExtraError

__all__ = ["POINTS", "WIDTH_INCHES", "Axes", "Canvas", "Draw", "png", "svg"]

Axes = Any
"""matplotlib's own types are partial."""
WIDTH_INCHES: Final = 3.6
"""346 px of a browser: what a phone of 360 px has, so that text there is as large as here."""
POINTS: Final = 8.5
_DOTS_PER_INCH: Final = 200
_RULES: Final = {
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.xmargin": 0.0,
    "font.size": POINTS,
    "path.simplify": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "resonance",
    "text.parse_math": False,
}
_HEAD: Final = re.compile(r"^.*?(?=<svg )", re.DOTALL)
_SIZE: Final = re.compile(r'(<svg )[^>]*?(viewBox="[^"]*")[^>]*>')
_OWN_STYLE: Final = re.compile(r"\s*<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_COMMENT: Final = re.compile(r"\s*<!--.*?-->", re.DOTALL)
_FONT: Final = re.compile(r"font: ([\d.]+)px [^;\"]*")
_NAME: Final = re.compile(r'\bid="|url\(#|href="#')
_GAP: Final = re.compile(r">\s+<")


@dataclass(frozen=True, slots=True)
class Canvas:
    """A figure to draw on, and the colours to do it with.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
    height_inches : float
    palette : Palette
    """

    figure: Any
    height_inches: float
    palette: Palette

    def axes(self, left: float, right: float, top: float, bottom: float) -> Axes:
        """Return axes at a place.

        Parameters
        ----------
        left, right, top, bottom : float
            Inches that are left free at each side.

        Returns
        -------
        matplotlib.axes.Axes
        """
        width, height = WIDTH_INCHES, self.height_inches
        axes: Axes = self.figure.add_axes(
            (
                left / width,
                bottom / height,
                (width - left - right) / width,
                (height - top - bottom) / height,
            )
        )
        axes.set_facecolor("none")
        axes.tick_params(colors=self.palette.faint, length=2.5, width=0.8, pad=2.0)
        for spine in axes.spines.values():
            spine.set_color(self.palette.line)
        return axes


Draw = Callable[[Canvas], None]


def svg(draw: Draw, height_inches: float, name: str) -> str:
    """Return a drawing as an element of a page.

    Parameters
    ----------
    draw : callable
    height_inches : float
    name : str
        Begins the names of all its parts, so that they are those of no other drawing.

    Returns
    -------
    str

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    written = io.StringIO()
    with _figure(draw, height_inches, MARKED) as figure:
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    text = _HEAD.sub("", written.getvalue(), count=1)
    text = _SIZE.sub(r"\1\2>", text, count=1)
    text = _OWN_STYLE.sub("", text, count=1)
    text = _COMMENT.sub("", text).replace("xlink:href", "href")
    text = _FONT.sub(r"font-size: \1px", text)
    text = _NAME.sub(rf"\g<0>{name}-", text)
    return with_variables(_GAP.sub("><", text)).strip()


def png(draw: Draw, height_inches: float) -> bytes:
    """Return a drawing as a picture of its own, for a light background.

    Parameters
    ----------
    draw : callable
    height_inches : float

    Returns
    -------
    bytes

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    written = io.BytesIO()
    with _figure(draw, height_inches, LIGHT) as figure:
        figure.savefig(
            written, format="png", dpi=_DOTS_PER_INCH, facecolor=LIGHT.page,
            metadata={"Software": None},
        )  # fmt: skip
    return written.getvalue()


@contextmanager
def _figure(draw: Draw, height_inches: float, palette: Palette) -> Generator[Any]:
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
        module: Any = importlib.import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        raise MissingExtraError("a report", "matplotlib", "bench") from error
    usual = {key: value for key, value in matplotlib.rcParamsDefault.items() if key != "backend"}
    with matplotlib.rc_context({**usual, **_RULES}), warnings.catch_warnings():
        # Names are foreign: a letter that the font lacks is no reason to have no picture.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure = module.Figure(figsize=(WIDTH_INCHES, height_inches))
        draw(Canvas(figure, height_inches, palette))
        yield figure
