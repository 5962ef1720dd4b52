#!/usr/bin/env python3
"""Draws what `skep bench model --json` measured as an SVG. Of `--only sizes`: size against decode rate, and against
accuracy where the models were scored. Of `--only curves`: accuracy against the layers removed; of `--only distill`:
against the steps. One file of results per model.

    bench/model/plot.py OUT.svg RESULTS.json …
"""
import html
import json
import re
import sys

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 460, 300, 56, 44, 28, 70
COLOURS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951"]


def read(paths):
    """{model: {type: {what: value}}}"""
    models = {}
    for path in paths:
        for row in json.load(open(path))["results"]:
            name, _, what = row["name"].partition(": ")
            model, _, kind = name.rpartition(" ")
            models.setdefault(model, {}).setdefault(kind, {})[what] = row["value"]
    return models


def read_curves(paths, pattern):
    """{model: {label: {"size": layers removed or steps, "accuracy": percent}}}; pattern: model and that number."""
    models = {}
    for path in paths:
        for row in json.load(open(path))["results"]:
            found = re.fullmatch(pattern + ": accuracy", row["name"])
            if found:
                points = models.setdefault(found[1], {})
                point = {"size": int(found[2] or 0), "accuracy": row["value"]}
                if point not in points.values():  # several files begin with the same one
                    points[f"{row['value']:.0f} %" + " " * len(points)] = point
    return models


def nice(most):
    step = 10 ** len(str(int(most))) / 10
    while most / step < 4:
        step /= 2
    while most / step > 8:
        step *= 2
    return step


def panel(models, what, unit, shift, across="size (MiB)"):
    points = [(m, t, v["size"], v[what]) for m, types in models.items() for t, v in types.items() if what in v]
    if not points:
        return ""
    most_x, most_y = max(p[2] for p in points) * 1.08, max(p[3] for p in points) * 1.1
    x = lambda v: shift + LEFT + v / most_x * (WIDTH - LEFT - RIGHT)
    y = lambda v: HEIGHT - BOTTOM - v / most_y * (HEIGHT - BOTTOM - TOP)
    out = [f'<text x="{shift + LEFT}" y="16" font-weight="bold">{what} ({unit}) by {across}</text>']
    for most, line in ((most_x, lambda v: (x(v), HEIGHT - BOTTOM + 16, "middle")), (most_y, lambda v: (shift + LEFT - 6, y(v) + 4, "end"))):
        step, v = nice(most), 0
        while v <= most:
            tx, ty, anchor = line(v)
            out.append(f'<text x="{tx:.0f}" y="{ty:.0f}" text-anchor="{anchor}" fill="#555">{v:g}</text>')
            v += step
    out.append(f'<path d="M{x(0):.0f} {y(most_y):.0f}V{y(0):.0f}H{x(most_x):.0f}" fill="none" stroke="#999"/>')
    for index, model in enumerate(models):
        own = sorted((p for p in points if p[0] == model), key=lambda p: p[2])
        colour = COLOURS[index % len(COLOURS)]
        path = "".join(f'{"ML"[i > 0]}{x(p[2]):.1f} {y(p[3]):.1f}' for i, p in enumerate(own))
        out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for _, kind, size, value in own:
            out.append(f'<circle cx="{x(size):.1f}" cy="{y(value):.1f}" r="3.5" fill="{colour}"><title>{html.escape(model)} {kind}: '
                       f'{across} {size:.3g}, {value:.3g} {unit}</title></circle>')
            out.append(f'<text x="{x(size) + 6:.1f}" y="{y(value) - 5:.1f}" font-size="10" fill="{colour}">{kind}</text>')
        if own:
            at, anchor = x(own[-1][2]) + 6, "start"
            if at + 7 * len(model) > shift + WIDTH:  # it would be cut off
                at, anchor = shift + WIDTH - 6, "end"
            out.append(f'<text x="{at:.0f}" y="{y(own[-1][3]) + 12:.0f}" text-anchor="{anchor}" fill="{colour}">{html.escape(model)}</text>')
    return "\n".join(out)


def main():
    layers = read_curves(sys.argv[2:], r"(\S+) (?:whole|without (\d+) of \d+ layers)")
    steps = read_curves(sys.argv[2:], r"(.+ layers)(?:, (\d+) steps of distillation)?")
    if any(len(points) > 1 for points in steps.values()):
        panels = [panel(steps, "accuracy", "%", 0, "steps of distillation")]
    elif layers:
        panels = [panel(layers, "accuracy", "%", 0, "layers removed")]
    else:
        models = read(sys.argv[2:])
        kinds = ["decode"] + sorted({w for types in models.values() for v in types.values() for w in v if w.startswith("accuracy")})
        panels = [p for i, k in enumerate(kinds) if (p := panel(models, k, "tokens/s" if k == "decode" else "%", i * WIDTH))]
    with open(sys.argv[1], "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * len(panels)} {HEIGHT}" font-family="sans-serif" '
                   f'font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(panels) + "\n</svg>\n")


if __name__ == "__main__":
    main()
