#!/usr/bin/env python3
"""Records a room at three terminals into room.svg, which the README shows.

    cargo build --release && tests/demo/room.py target/release/sockctl

Needs tmux. Everything in the picture was typed and printed by the program that is named.
"""

import html
import pathlib
import re
import subprocess
import sys
import time
import unicodedata

SOCKET = "sockctl-demo"
COLUMNS, ROWS = 48, 20
# Each terminal with its title; what is typed where, and what has to be seen before the next.
TITLES = {"server": "the server", "ann": "Ann", "bob": "王小明"}
SCRIPT = [
    ("server", "sockctl serve --room", "server", "listening on"),
    ("ann", "sockctl connect --nick Ann --reconnect", "server", "-- guest1 is now Ann"),
    ("bob", "sockctl connect --nick 王小明", "ann", "-- guest2 is now 王小明"),
    ("ann", "good morning, everybody", "bob", "<Ann> good morning, everybody"),
    ("bob", "大家好! 👋", "server", "<王小明> 大家好!"),
    ("server", "welcome. Ann, did the build pass?", "ann", "did the build pass?"),
    ("ann", "/me cheers: all green", "bob", "* Ann cheers"),
    ("bob", "@Ann lunch at noon?", "ann", "[王小明] lunch at noon?"),
    ("ann", "/reply the noodle place?", "bob", "[Ann] the noodle place?"),
    ("bob", "/whois Ann", "bob", "! "),
    ("bob", "/who", "bob", "-- 3 here"),
    # Half a line: what arrives is printed above it.
    ("ann", "I was just about to sa", "ann", ">>> I was just about to sa"),
    ("server", "the room stays open all day", "ann", "<server> the room stays open all day"),
]
HALF = "I was just about to sa"

PALETTE = ["#282c34", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#dcdfe4",
           "#7f848e", "#ef7d86", "#a9d48a", "#f0cb86", "#74bdf7", "#d18fe8", "#6cc7d2", "#ffffff"]
BACK, FRONT, FRAME, DIM = "#1e2127", "#dcdfe4", "#3a3f4b", "#9aa0ac"
CELL, LINE, PAD, BAR, GAP = 8.4, 18, 12, 28, 16


def tmux(*words):
    return subprocess.run(["tmux", "-L", SOCKET, *words], check=True, capture_output=True,
                          text=True).stdout


def screen(name, colours=False):
    return tmux("capture-pane", "-p", "-t", name, *(["-e"] if colours else []))


def wait(name, text):
    until = time.monotonic() + 10
    while text not in screen(name):
        if time.monotonic() > until:
            sys.exit(f"no {text!r} at {name}:\n{screen(name)}")
        time.sleep(0.02)


def record(program):
    """The three screens, once everything in SCRIPT has happened."""
    folder = str(pathlib.Path(program).resolve().parent)
    shell = f"PS1='$ ' PATH={folder}:$PATH TERM=xterm-256color sh"
    try:
        for name in TITLES:
            tmux("-f", "/dev/null", "new-session", "-d", "-s", name, "-x", str(COLUMNS), "-y",
                 str(ROWS + 1), shell)
            tmux("set", "-t", name, "status", "off")
            tmux("resize-window", "-t", name, "-x", str(COLUMNS), "-y", str(ROWS))
            wait(name, "$")
        for who, line, where, seen in SCRIPT:
            tmux("send-keys", "-t", who, "-l", line)
            if line != HALF:
                tmux("send-keys", "-t", who, "Enter")
            wait(where, seen)
        return {name: screen(name, colours=True) for name in TITLES}
    finally:
        subprocess.run(["tmux", "-L", SOCKET, "kill-server"], check=False)


def runs(screen):
    """A screen's pieces, each with its row, its colour, its weight, and whether it is reversed. What one
    row ends with goes on in the next."""
    row, colour, bold, dim, reverse = 0, FRONT, False, False, False
    for text, end, codes in re.findall(r"([^\x1b\n]+)|(\n)|\x1b\[([0-9;]*)m", screen):
        if text:
            yield row, text, DIM if dim else colour, bold, reverse
            continue
        if end:
            row += 1
            continue
        numbers = [int(code or 0) for code in codes.split(";")]
        while numbers:
            match numbers.pop(0):
                case 0: colour, bold, dim, reverse = FRONT, False, False, False
                case 1: bold = True
                case 2: dim = True
                case 7: reverse = True
                case 27: reverse = False
                case 22: bold = dim = False
                case 39: colour = FRONT
                case n if 30 <= n <= 37: colour = PALETTE[n - 30]
                case n if 90 <= n <= 97: colour = PALETTE[n - 82]
                case 38 if numbers[:1] == [5]: colour, numbers = indexed(numbers[1]), numbers[2:]


def indexed(number):
    """A colour of the 256."""
    if number < 16:
        return PALETTE[number]
    if number < 232:
        steps = [0, 95, 135, 175, 215, 255]
        red, green, blue = (number - 16) // 36, (number - 16) // 6 % 6, (number - 16) % 6
        return "#{:02x}{:02x}{:02x}".format(steps[red], steps[green], steps[blue])
    return "#{0:02x}{0:02x}{0:02x}".format(8 + 10 * (number - 232))


def width(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def draw(screens):
    wide, high = COLUMNS * CELL + 2 * PAD, ROWS * LINE + BAR + 2 * PAD
    total = len(screens) * wide + (len(screens) - 1) * GAP
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:.0f} {high:.0f}" '
           'font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="14">',
           "<title>Three terminals in a room of sockctl</title>"]
    for index, (name, text) in enumerate(screens.items()):
        x = index * (wide + GAP)
        out.append(f'<rect x="{x:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="8" fill="{BACK}" '
                   f'stroke="{FRAME}"/>')
        for dot, colour in enumerate(["#e06c75", "#e5c07b", "#98c379"]):
            out.append(f'<circle cx="{x + 18 + 18 * dot:.1f}" cy="15" r="5" fill="{colour}"/>')
        out.append(f'<text x="{x + wide / 2:.1f}" y="19" fill="{DIM}" text-anchor="middle" '
                   f'font-size="12">{html.escape(TITLES[name])}</text>')
        column, last = 0, 0
        for row, piece, colour, bold, reverse in runs(text):
            column, last = (column, row) if row == last else (0, row)
            cells = width(piece)
            left, top = x + PAD + column * CELL, BAR + PAD + row * LINE
            if reverse:
                out.append(f'<rect x="{left:.1f}" y="{top:.1f}" width="{cells * CELL:.1f}" '
                           f'height="{LINE}" fill="{colour}"/>')
                colour = BACK
            if piece.strip():
                weight = ' font-weight="bold"' if bold else ""
                out.append(
                    f'<text x="{left:.1f}" y="{top + 0.75 * LINE:.1f}" fill="{colour}"{weight} '
                    f'textLength="{cells * CELL:.1f}" lengthAdjust="spacingAndGlyphs" '
                    f'xml:space="preserve">{html.escape(piece)}</text>')
            column += cells
    return "\n".join([*out, "</svg>", ""])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    picture = pathlib.Path(__file__).with_name("room.svg")
    picture.write_text(draw(record(sys.argv[1])))
    print(picture)
