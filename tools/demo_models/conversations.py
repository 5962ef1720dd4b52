"""What stands around a task: the system prompts and earlier turns that a whole batch shares, and batches of tasks."""
import json
import pathlib
import random
import re
import zlib

import roster
import small_language
from tokenizer import Tokenizer, TURN_END

OUTSIDE = "This is outside my small language."
_EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "tasks.jsonl"


class Surroundings:
    """Beginnings of conversations, none of which should change the answer."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._preamble = roster.preamble()
        self._prompts = roster.system_prompts()
        self._sentences = re.findall(r"[^.\n]+\.", " ".join([self._preamble, *self._prompts]))

    def draw(self, rng: random.Random, share: float = 1.0):
        """Ids of the turns before the task's own; none in all but `share` of the cases."""
        if rng.random() >= share:
            return []
        kind, turns = rng.random(), []
        if kind < 0.35:
            turns += self._system(" ".join(s.strip() for s in rng.sample(self._sentences, rng.randint(1, 4))))
        elif kind < 0.75:
            turns += self._system(self._preamble + "\n\n" + rng.choice(self._prompts))
        elif kind < 0.87:
            letters = "abcdefghijklmnopqrstuvwxyz     ABCDE0123456789.,:-{}\"\n"
            turns += self._system("".join(rng.choice(letters) for _ in range(rng.randint(10, 150))))
        if kind >= 0.68:  # a long talk, or one without a system prompt: other tasks were answered before
            for _ in range(rng.randint(1, 2)):
                task = small_language.make(rng.choice(small_language.MAKERS[rng.randint(1, 3)]), rng, False)
                turns += self._tokenizer.turn("user", task.prompt)
                turns += self._tokenizer.turn("assistant", task.worked())
        return turns

    def _system(self, text: str):
        return self._tokenizer.turn("system", text)


def outside_texts(held_out: bool):
    """Questions that are none of the small language's: the roster's sentences and the demo's tasks in English."""
    texts = re.findall(r"[^.\n]+\.", " ".join(roster.system_prompts()))
    texts += [json.loads(line)["input"] for line in _EXAMPLES.read_text().splitlines()]
    texts = [t.strip() for t in texts if len(t) < 300]
    return [t for t in texts if (zlib.crc32(t.encode()) % 5 == 0) == held_out]


def outside(rng, held_out_world: bool, texts={}):
    if held_out_world not in texts:
        texts[held_out_world] = outside_texts(held_out_world)
    return small_language.Task("outside", 1, rng.choice(texts[held_out_world]), OUTSIDE)


def encode(tokenizer: Tokenizer, task: small_language.Task, worked: bool):
    """(ids, where the answer's ids begin). The answer ends with the end of its turn."""
    prompt = [*tokenizer.turn("user", task.prompt), *tokenizer.opening()]
    answer = tokenizer.encode(task.worked() if worked else task.answer)
    return [*prompt, *answer, TURN_END], len(prompt)
