"""Draws the learning curves of build/demo-models as one picture: right answers by steps of the task.

    curves.py build/demo-models > doc/pictures/demo-models.svg
"""
import json
import pathlib
import sys

TIERS = ["trunk", "fast", "balanced", "deep"]
COLOURS = {"1": "#2b6cb0", "2": "#c05621", "3": "#2f855a"}
PANEL, HEIGHT, LEFT, TOP = 225, 200, 42, 28


def panel(name, lines, x):
    out = [f'<g transform="translate({x},{TOP})">',
           f'<text x="0" y="-8" font-weight="bold">{name}</text>',
           f'<rect width="{PANEL - 40}" height="{HEIGHT}" fill="#fff" stroke="#cbd5e0"/>']
    last = lines[-1]["step"]
    for share in (25, 50, 75, 90):
        y = HEIGHT * (1 - share / 100)
        out.append(f'<line x1="0" x2="{PANEL - 40}" y1="{y}" y2="{y}" stroke="#e2e8f0"/>')
        if name == TIERS[0]:
            out.append(f'<text x="-32" y="{y + 4}">{share} %</text>')
    for steps, colour in COLOURS.items():
        points = " ".join(f'{(PANEL - 40) * line["step"] / last:.1f},{HEIGHT * (1 - line["steps"][steps]):.1f}' for line in lines)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
    out.append(f'<text x="0" y="{HEIGHT + 16}">0</text>'
               f'<text x="{PANEL - 40}" y="{HEIGHT + 16}" text-anchor="end">{last:,} steps, {lines[-1]["seconds"] / 60:.0f} min</text></g>')
    return "".join(out)


def main():
    folder = pathlib.Path(sys.argv[1])
    width = LEFT + PANEL * len(TIERS)
    panels = []
    for i, tier in enumerate(TIERS):
        lines = [json.loads(line) for line in (folder / tier / "curve.jsonl").read_text().splitlines()]
        panels.append(panel(tier, lines, LEFT + PANEL * i))
    legend = "".join(f'<text x="{LEFT + 150 * i}" y="{TOP + HEIGHT + 38}" fill="{colour}">{steps}-step tasks</text>'
                     for i, (steps, colour) in enumerate(COLOURS.items()))
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {TOP + HEIGHT + 50}" font-family="sans-serif" font-size="12">'
          f'<rect width="100%" height="100%" fill="#fffdf7"/>{"".join(panels)}{legend}</svg>')


if __name__ == "__main__":
    main()
