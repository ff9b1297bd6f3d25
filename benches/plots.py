#!/usr/bin/env python3
"""Draws docs/benchmarks/update.svg and footprint.svg from update.csv and footprint.txt beside them."""

import csv
import math
import pathlib
from html import escape

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "docs/benchmarks"
OURS, OTHERS = "ours", "others"
STYLE = """<style>
text{font:12px sans-serif;fill:#1b1f24} .ours{fill:#0b7a4b} .others{fill:#8c959f} .title{font-size:14px;font-weight:600} .ground{fill:#fff}
@media (prefers-color-scheme:dark){text{fill:#e6e9ee} .ours{fill:#4cc38a} .others{fill:#76808c} .ground{fill:#14171c}}
</style>"""
LABEL, WIDTH, BAR, GAP = 210, 420, 14, 22


def bars(title, groups, shown, logarithmic=False):
    """Groups are pairs of a name and of rows (label, class, value); `shown` writes a value."""
    largest = max(value for _, rows in groups for _, _, value in rows)
    least = min(value for _, rows in groups for _, _, value in rows if value > 0)
    y, parts = 50, []
    for name, rows in groups:
        if name:
            parts.append('<text x="10" y="%d" font-weight="600">%s</text>' % (y, escape(name)))
            y += GAP
        for label, kind, value in rows:
            if logarithmic:
                # A decade more than the smallest, so that its bar can be seen.
                length = WIDTH * math.log(max(value, least) / least * 10) / math.log(largest / least * 10)
            else:
                length = WIDTH * value / largest
            parts.append('<text x="%d" y="%d" text-anchor="end">%s</text>' % (LABEL - 8, y + 11, escape(label)))
            parts.append('<rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>' % (kind, LABEL, y, max(length, 1), BAR))
            parts.append('<text x="%.1f" y="%d">%s</text>' % (LABEL + max(length, 1) + 6, y + 11, escape(shown(value))))
            y += GAP
        y += 8
    width, height = LABEL + WIDTH + 110, y + 6
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">\n%s\n'
            '<rect class="ground" width="%d" height="%d"/>\n<text class="title" x="10" y="24">%s</text>\n%s\n</svg>\n'
            % (width, height, width, height, escape(title), STYLE, width, height, escape(title), "\n".join(parts)))


def update():
    rows = list(csv.DictReader(open(FOLDER / "update.csv")))
    rates = list(dict.fromkeys(row["rate"] for row in rows))
    kind = lambda case: OTHERS if case.startswith("self_update") else OURS
    seconds = [(rate, [(row["case"], kind(row["case"]), float(row["seconds"])) for row in rows if row["rate"] == rate]) for rate in rates]
    (FOLDER / "update.svg").write_text(bars("Seconds of a check and of an update (logarithmic)", seconds, lambda s: "%.2f s" % s, True))
    sizes = [("", [(row["case"], kind(row["case"]), float(row["bytes"])) for row in rows if row["rate"] == rates[0]])]
    (FOLDER / "update-bytes.svg").write_text(bars("Bytes of a check and of an update (logarithmic)", sizes, lambda b: "{:,.0f} B".format(b), True))


def footprint():
    rows = [line.rsplit(None, 4) for line in (FOLDER / "footprint.txt").read_text().splitlines() if line.startswith("app-")]
    kept = [row for row in rows if row[0] != "app-empty"]
    label = lambda name: name.removeprefix("app-").replace("runtime", "updater-runtime")
    kind = lambda name: OURS if name.startswith("app-runtime") else OTHERS
    groups = [
        ("MB added, stripped", [(label(name), kind(name), int(added) / 1e6) for name, _, _, added, _ in kept]),
    ]
    (FOLDER / "footprint.svg").write_text(bars("What an updater adds to an empty program", groups, lambda mb: "%.1f MB" % mb))
    groups = [("", [(label(name), kind(name), float(cpu)) for name, _, _, _, cpu in kept])]
    (FOLDER / "footprint-build.svg").write_text(bars("Processor seconds to build it from nothing", groups, lambda s: "%.0f s" % s))


for name, draw in (("update.csv", update), ("footprint.txt", footprint)):
    if (FOLDER / name).exists():
        draw()
