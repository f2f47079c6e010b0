# SPDX-License-Identifier: MIT
"""Which colours has a picture, and what does each of them mean?

Pictures in a page are drawn in colours that nothing else has, which are then replaced by the
page's own variables, so that they follow the reader's choice of light or dark.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

__all__ = ["LIGHT", "MARKED", "Palette", "with_variables"]


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a picture; each is one meaning.

    Attributes
    ----------
    ink : str
        The baseline, and text that matters.
    faint : str
        The placebo, and text that may be passed over.
    other : str
        Arms that are not lifted out.
    line : str
        Axes and grid.
    page : str
        What is behind it all.
    floor : str
        The noise floor.
    first, second, third : str
        Arms that are lifted out.
    good, bad : str
        Less, and more, than the baseline beyond chance; ``bad`` is also what is withheld.
    shade : str
        Behind what is withheld.
    """

    ink: str
    faint: str
    other: str
    line: str
    page: str
    floor: str
    first: str
    second: str
    third: str
    good: str
    bad: str
    shade: str


LIGHT: Final = Palette(
    ink="#1c1c1c",
    faint="#666662",
    other="#a9a9a4",
    line="#d9d9d4",
    page="#fcfcfb",
    floor="#dededa",
    first="#1d63a8",
    second="#8a5a00",
    third="#8e3bb0",
    good="#17693f",
    bad="#b3261e",
    shade="#f7dcd9",
)
"""As ``style.css`` has them; a test compares the two."""

MARKED: Final = Palette(*(f"#0f0e{place:02x}" for place in range(len(fields(Palette)))))


def with_variables(svg: str) -> str:
    """Return a drawing in the colours of the page it is put in.

    Parameters
    ----------
    svg : str
        In the colours of `MARKED`.

    Returns
    -------
    str
    """
    for each in fields(Palette):
        svg = svg.replace(getattr(MARKED, each.name), f"var(--{each.name})")
    return svg
