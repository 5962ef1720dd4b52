#!/usr/bin/env python3
"""Writes conversations in the small language to a file, for what is measured on the demo models.

    conversation_files.py [--seed 11] [--count 3000] [--held-out] OUT.jsonl    tasks with worked answers, to train on
    conversation_files.py [--seed 12] [--count 500] --held-out OUT.txt         the same as a text, for perplexity

--held-out takes the names that training never saw.
"""
import argparse
import json
import pathlib
import random

import small_language


def tasks(rng: random.Random, count: int, held_out: bool):
    for _ in range(count):
        yield small_language.make(rng.choice(small_language.MAKERS[rng.randint(1, 3)]), rng, held_out)


def as_text(task):
    """As the models' chat template writes it."""
    return f"<|im_start|>user\n{task.prompt}<|im_end|>\n<|im_start|>assistant\n{task.worked()}<|im_end|>\n"


def as_line(task):
    return json.dumps({"messages": [{"role": "user", "content": task.prompt}], "answer": task.worked()}, ensure_ascii=False) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    write = as_line if args.out.suffix == ".jsonl" else as_text
    args.out.write_text("".join(map(write, tasks(random.Random(args.seed), args.count, args.held_out))))


if __name__ == "__main__":
    main()
