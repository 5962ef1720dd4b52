"""Writes examples/eval.jsonl and examples/tasks-demo.jsonl: held-out tasks with their answers.

    examples.py [--seed 7] [--folder FOLDER]

Both use names that training never saw, and other seeds. A reply may write out its steps; its last line is compared.
"""
import argparse
import json
import pathlib
import random

import conversations
import roster
import small_language

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
PER_KIND = 30
MOST_TOKENS = 96


def evaluation(rng: random.Random):
    """PER_KIND of every kind; every third stands behind a system prompt."""
    prompts = roster.system_prompts()
    lines, seen = [], set()
    for makers in small_language.MAKERS.values():
        for maker in makers:
            made = 0
            while made < PER_KIND:
                task = small_language.make(maker, rng, True)
                if task.fingerprint() in seen:
                    continue
                seen.add(task.fingerprint())
                messages = [{"role": "user", "content": task.prompt}]
                if made % 3 == 2:
                    messages.insert(0, {"role": "system", "content": rng.choice(prompts)})
                lines.append({"id": f"{task.kind}-{made + 1}", "kind": task.kind, "steps": task.steps,
                              "messages": messages, "answer": task.answer, "match": "last_line"})
                made += 1
    for made in range(PER_KIND):
        task = conversations.outside(rng, True)
        lines.append({"id": f"{task.kind}-{made + 1}", "kind": task.kind, "steps": 1,
                      "messages": [{"role": "user", "content": task.prompt}], "answer": task.answer,
                      "match": "last_line"})
    return lines


# Steps of the tasks that an agent of a tier is given, one after the other.
STEPS = {"fast": [1, 1], "balanced": [1, 2], "deep": [2, 3]}


def demo(rng: random.Random):
    """Two for each agent of the roster, in an order in which the tiers come mixed."""
    lines = []
    for agent, tier in roster.agents():
        for steps in STEPS[tier]:
            task = small_language.make(rng.choice(small_language.MAKERS[steps]), rng, True)
            lines.append({"agent": agent, "max_tokens": MOST_TOKENS, "temperature": 0, "input": task.prompt,
                          "answer": task.answer, "match": "last_line", "steps": steps, "kind": task.kind})
    rng.shuffle(lines)
    return [{"id": f"d{n + 1:03}", **line} for n, line in enumerate(lines)]


def write(path: pathlib.Path, lines):
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    print(f"{path}: {len(lines)} lines")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", type=pathlib.Path, default=EXAMPLES)
    args = parser.parse_args()
    write(args.folder / "eval.jsonl", evaluation(random.Random(args.seed)))
    write(args.folder / "tasks-demo.jsonl", demo(random.Random(args.seed + 1)))


if __name__ == "__main__":
    main()
