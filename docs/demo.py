#!/usr/bin/env python3
"""Draws docs/demo.svg: what `trailkeeper demo` shows on a terminal with colours, 100 columns wide.

    cargo build --release && docs/demo.py target/release/trailkeeper > docs/demo.svg

The program runs on a pseudo-terminal, so that it colours its output as it does for people. Every line is as it printed it.
"""

import html
import os
import pty
import re
import subprocess
import sys
import tempfile

COLUMNS = 100
CHARACTER, LINE = 8.4, 19
MARGIN, BAR = 18, 34
COLOURS = {"31": "#ff7b72", "32": "#7ee787", "33": "#f2cc60"}


def run(program: str) -> list[str]:
    """The lines that the demo prints to a terminal."""
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color"}
    terminal, end = pty.openpty()
    output = b""
    with tempfile.TemporaryDirectory() as folder:
        demo = subprocess.Popen([program, "demo", "--quiet"], cwd=folder, env=environment, stdin=end, stdout=end, stderr=end)
        os.close(end)
        try:
            while piece := os.read(terminal, 65536):
                output += piece
        except OSError:
            pass  # So Linux says that the other end was closed.
        if demo.wait() != 0:
            sys.exit(f"the demo ended with {demo.returncode}: {output.decode()}")
    return output.decode().replace("\r\n", "\n").rstrip("\n").split("\n")


def spans(line: str):
    """The parts of a line: the column where each begins, its colour or None, its text."""
    column, colour = 0, None
    for part in re.split(r"(\x1b\[[0-9;]*[A-Za-z])", line):
        if part.startswith("\x1b"):
            colour = COLOURS.get(part[2:-1])
        elif part:
            yield column, colour, part
            column += len(part)


def words(text: str):
    """The words of a text with their columns, so that columns stay in line whatever font the reader has."""
    return ((match.start(), match.group()) for match in re.finditer(r"\S+(?: \S+)*", text))


def draw(lines: list[str]) -> str:
    width = COLUMNS * CHARACTER + 2 * MARGIN
    height = BAR + len(lines) * LINE + MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" width="{width:g}" role="img"',
        '     aria-label="trailkeeper demo in a terminal" font-size="14"',
        "     font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\">",
        f'<rect width="{width:g}" height="{height}" rx="8" fill="#0d1117"/>',
        *(f'<circle cx="{MARGIN + 18 * n}" cy="17" r="5.5" fill="{colour}"/>'
          for n, colour in enumerate(["#ff5f57", "#febc2e", "#28c840"])),
        '<g fill="#c9d1d9">',
    ]
    for number, line in enumerate(lines):
        for column, colour, text in spans(line):
            for offset, word in words(text):
                left, length = MARGIN + (column + offset) * CHARACTER, len(word) * CHARACTER
                fill = f' fill="{colour}"' if colour else ""
                out.append(
                    f'<text x="{left:.1f}" y="{BAR + number * LINE + 14}" textLength="{length:.1f}"'
                    f' lengthAdjust="spacingAndGlyphs"{fill}>{html.escape(word)}</text>'
                )
    return "\n".join([*out, "</g>", "</svg>"]) + "\n"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.write(draw(["$ trailkeeper demo"] + run(os.path.abspath(sys.argv[1]))))


main()
