#!/usr/bin/env python3
"""Records a command in a terminal of its own and writes what it showed as an SVG that plays itself.

usage: benches/recording.py OUT.svg [--shown TEXT] [--without REGEX] [--replace OLD=NEW] -- COMMAND [ARGUMENT ...]

    benches/recording.py docs/demo.svg --shown 'cargo updater demo' --without 'Compiling (?!demo-app)' -- target/debug/cargo-updater updater demo

The command runs in a pseudo-terminal of 100 columns; every line comes up when it came up in the run, pauses longer than
half a second shortened to that (the last line says how long it took in truth). The picture needs nothing but itself: text,
classes for colours, and one CSS animation. `--without` leaves lines out, `--replace` puts other text, of a place on this
machine for example, in all lines. Whoever asks for less motion sees the end. Lines that were drawn over, such
as progress bars, are not in it.
"""

import os
import pty
import re
import struct
import sys
import termios
import fcntl
import time
from html import escape

COLUMNS, ROWS = 100, 30
CELL, LINE, PAD = 8.4, 19, 14
LONGEST_PAUSE = 0.5
# SGR colours, as classes of the picture.
COLOURS = {30: "k", 31: "r", 32: "g", 33: "y", 34: "b", 35: "m", 36: "c", 37: "w"}


class Screen:
    """The lines that a run leaves, each with the second at which it was last changed."""

    def __init__(self):
        self.lines, self.row, self.column, self.style = [[]], 0, 0, ""
        self.when = [0.0]

    def feed(self, text, now):
        for escape_, other in re.findall(r"\x1b\[([0-9;?]*[A-Za-z])|(\x1b.|.)", text, re.S):
            if escape_:
                self.control(escape_, now)
            elif other == "\n":
                self.row += 1
                self.grow(now)
            elif other == "\r":
                self.column = 0
            elif other >= " ":
                self.put(other, now)

    def grow(self, now):
        while self.row >= len(self.lines):
            self.lines.append([])
            self.when.append(now)

    def put(self, character, now):
        if self.column >= COLUMNS:
            self.row, self.column = self.row + 1, 0
            self.grow(now)
        line = self.lines[self.row]
        line.extend((" ", "") for _ in range(self.column + 1 - len(line)))
        line[self.column] = (character, self.style)
        self.when[self.row] = now
        self.column += 1

    def control(self, sequence, now):
        numbers, kind = sequence[:-1], sequence[-1]
        first = int(numbers) if numbers.isdigit() else 1
        if kind == "m":
            self.colour(numbers)
        elif kind == "A":
            self.row = max(0, self.row - first)
        elif kind == "B":
            self.row += first
            self.grow(now)
        elif kind == "K":
            del self.lines[self.row][0 if numbers in ("1", "2") else self.column:]
        elif kind == "J":
            del self.lines[self.row + 1:], self.when[self.row + 1:]
            del self.lines[self.row][self.column:]
        elif kind == "G":
            self.column = first - 1

    def colour(self, numbers):
        classes = set(self.style.split())
        for number in (int(part or 0) for part in numbers.split(";")):
            if number == 0:
                classes = set()
            elif number == 1:
                classes.add("o")
            elif number % 60 in COLOURS and (30 <= number <= 37 or 90 <= number <= 97):
                classes = {name for name in classes if name == "o"} | {COLOURS[number % 60]}
        self.style = " ".join(sorted(classes))


def run(command):
    screen, begun = Screen(), time.monotonic()
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), CARGO_TERM_COLOR="always")
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    rest = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # The other side was closed.
            data = b""
        if not data:
            break
        rest += data
        # A sequence or a character may be cut in two.
        cut = max(rest.rfind(b"\x1b"), 0) if re.search(rb"\x1b[^A-Za-z]*$", rest) else len(rest)
        try:
            text = rest[:cut].decode()
        except UnicodeDecodeError:
            continue
        rest = rest[cut:]
        screen.feed(text, time.monotonic() - begun)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0:
        sys.exit("%s ended with %d:\n%s" % (command[0], status, "\n".join("".join(c for c, _ in line) for line in screen.lines)))
    return screen


def spans(line):
    text, position = "", 0
    while position < len(line):
        style = line[position][1]
        end = position
        while end < len(line) and line[end][1] == style:
            end += 1
        part = escape("".join(character for character, _ in line[position:end]))
        text += '<tspan class="%s">%s</tspan>' % (style, part) if style else part
        position = end
    return text


def picture(lines, shown):
    """Lines are pairs of a second and cells; the picture shows the last ROWS of those that are there."""
    height = ROWS * LINE + 2 * PAD
    width = round(COLUMNS * CELL + 2 * PAD)
    end = lines[-1][0] + 6
    texts, moves = [], []
    for number, (second, cells) in enumerate(lines):
        if cells:
            texts.append('<text y="%d" style="animation-delay:%.2fs">%s</text>' % ((number + 1) * LINE, second, spans(cells)))
        if number >= ROWS:
            moves.append((100 * second / end, (number + 1 - ROWS) * LINE))
    last = moves[-1][1] if moves else 0
    steps = "".join("%.2f%%{transform:translateY(-%dpx)}" % move for move in moves)
    return """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-labelledby="t">
<title id="t">A recording of {shown} in a terminal</title>
<style>
rect{{fill:#14171c}} text{{fill:#d8dde4;font:13.5px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre}}
.o{{font-weight:700}} .k{{fill:#76808c}} .r{{fill:#ff7b72}} .g{{fill:#4cc38a}} .y{{fill:#e3b341}} .b{{fill:#7ab7f5}} .m{{fill:#d2a8ff}} .c{{fill:#56d4dd}} .w{{fill:#ffffff}}
#all{{transform:translateY(-{last}px)}}
@media (prefers-reduced-motion:no-preference){{
#all text{{opacity:0;animation:up .01s linear forwards}}
#all{{transform:none;animation:move {end:.2f}s step-end forwards}}
}}
@keyframes up{{to{{opacity:1}}}}
@keyframes move{{0%{{transform:none}}{steps}100%{{transform:translateY(-{last}px)}}}}
</style>
<clipPath id="c"><rect x="0" y="{pad}" width="{w}" height="{inner}"/></clipPath>
<rect width="{w}" height="{h}" rx="8"/>
<g clip-path="url(#c)"><g transform="translate({pad},{top})" xml:space="preserve"><g id="all">
{texts}
</g></g></g>
</svg>
""".format(w=width, h=height, shown=escape(shown), last=last, end=end, steps=steps, pad=PAD, inner=ROWS * LINE + 4,
           top=PAD - 4, texts="\n".join(texts))


def main():
    arguments = sys.argv[1:]
    split = arguments.index("--")
    out, options, command = arguments[0], arguments[1:split], arguments[split + 1:]
    options = dict(zip(options[::2], options[1::2]))
    shown = options.get("--shown", " ".join(command))
    screen = run(command)
    lines = timed(shown, list(zip(screen.when, screen.lines)), options)
    with open(out, "w") as file:
        file.write(picture(lines, shown))
    print("%s: %d lines, plays %.0f s of %.0f s" % (out, len(lines), lines[-1][0], screen.when[-1]))


def timed(shown, recorded, options):
    """Puts the command before the lines, takes out what is not wanted, and shortens pauses."""
    old, _, new = options.get("--replace", "").partition("=")
    unwanted = re.compile(options.get("--without", "(?!)"))
    lines, now, before = [(0.4, [("$", "g"), (" ", "")] + [(character, "o") for character in shown])], 0.4, 0.0
    for second, cells in recorded:
        text = "".join(character for character, _ in cells)
        if unwanted.search(text):
            continue
        if old and old in text:
            at = text.index(old)
            cells = cells[:at] + [(character, cells[at][1]) for character in new] + cells[at + len(old):]
        now += min(max(second - before, 0.04), LONGEST_PAUSE)
        before = max(before, second)
        lines.append((now, cells))
    while not lines[-1][1]:
        lines.pop()
    return lines


if __name__ == "__main__":
    main()
