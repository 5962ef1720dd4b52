#!/usr/bin/env python3
"""A flame graph from what perf recorded: width is time, below is the caller.

    perf record --call-graph dwarf,8192 -F 999 -o build/perf.data build/release/skep bench forward --only "143M Q4_0" --no-peer
    perf script --no-inline -i build/perf.data | tools/flame_graph.py --title "bench forward" > doc/pictures/forward.svg
"""
import argparse
import html
import re
import sys

WIDTH, ROW, LEAST = 1000, 17, 1.5  # pixels; LEAST: what is narrower is left out
FRAME = re.compile(r"^\s+[0-9a-f]+ (.*) \((.*)\)$")


class Node:
    def __init__(self):
        self.samples, self.children = 0, {}

    def add(self, stack):
        self.samples += 1
        if stack:
            self.children.setdefault(stack[0], Node()).add(stack[1:])


def short(name):
    """skep::kernel::(anonymous namespace)::gemm<4>(…) +0x1c → gemm<4>"""
    name = re.sub(r"\+0x[0-9a-f]+$", "", name)
    name = re.sub(r"\(anonymous namespace\)::|\[clone [^]]*\]", "", name)
    depth, cut = 0, []
    for character in name:  # arguments and template parameters say more than fits
        depth -= character in ")>"
        if depth == 0 and character not in "()<>":
            cut.append(character)
        depth += character in "(<"
    words = "".join(cut).strip().split("::")
    return "::".join(words[-2:]) or name


def stacks(lines):
    """Each sample's functions, the outermost first."""
    stack = []
    for line in lines:
        frame = FRAME.match(line)
        if frame and frame[1] != "[unknown]":
            stack.append(short(frame[1]))
        elif not frame and not line.strip() and stack:
            yield stack[::-1]
            stack = []
    if stack:
        yield stack[::-1]


def rows_of(node):
    return 1 + max((rows_of(c) for c in node.children.values()), default=0)


def draw(node, name, x, row, scale, total, out):
    width = node.samples * scale
    if width < LEAST:
        return
    share = 100 * node.samples / total
    hue = 20 + sum(map(ord, name)) % 35
    y = row * ROW
    out.append(f'<g><title>{html.escape(name)}: {share:.1f} %</title>'
               f'<rect x="{x:.1f}" y="-{y + ROW}" width="{width - 0.5:.1f}" height="{ROW - 1}" fill="hsl({hue},85%,68%)"/>')
    letters = int(width / 6.5)
    if letters >= 4:
        text = name if len(name) <= letters else name[:letters - 1] + "…"
        out.append(f'<text x="{x + 3:.1f}" y="-{y + 5}">{html.escape(text)}</text>')
    out.append("</g>")
    for child_name, child in sorted(node.children.items()):
        draw(child, child_name, x, row + 1, scale, total, out)
        x += child.samples * scale


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--title", default="")
    options = parser.parse_args()
    root = Node()
    for stack in stacks(sys.stdin):
        root.add(stack)
    if not root.samples:
        sys.exit("flame_graph: no samples; feed it what `perf script` prints of a recording with -g")
    out = []
    draw(root, "all", 0, 0, WIDTH / root.samples, root.samples, out)
    height = (rows_of(root) + 2) * ROW
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">'
          f'<rect width="{WIDTH}" height="{height}" fill="#fffdf7"/>'
          f'<text x="4" y="14" font-size="13">{html.escape(options.title)} ({root.samples:,} samples)</text>'
          f'<g transform="translate(0,{height})">{"".join(out)}</g></svg>')


if __name__ == "__main__":
    main()
