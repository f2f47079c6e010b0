# SPDX-License-Identifier: MIT
"""What does a measurement look like? One page of HTML, its pictures, and the lines of a README.

::

    comparisons = [compare(scene) for scene in experiment]
    Path("report.html").write_text(page(experiment, comparisons))

The layers, top first::

    markup               the page
    tables, figures      what it shows of a scene
    forest, lines,
    timeline             how that is drawn
    canvas               a drawing as SVG or PNG; the only file that knows matplotlib
    words, series        sentences, and lines to draw
    labels, palette      numbers, names and colours
    headline             what the README claims, from results
"""

from __future__ import annotations

from resonance.bench.report.markup import page, pictures

__all__ = ["page", "pictures"]
