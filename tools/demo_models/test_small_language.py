"""What the trainer relies on, without a trainer: the language, the tokenizer and the shipped examples.

    python3 -m unittest discover -s tools/demo_models
"""
import json
import pathlib
import random
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import examples
import names
import paraphrases
import roster
import small_language
import solvers
import tokenizer

MAKERS = [(steps, maker) for steps, makers in small_language.MAKERS.items() for maker in makers]


def tasks(held_out, seed=3, count=40):
    rng = random.Random(seed)
    return [small_language.make(maker, rng, held_out) for _, maker in MAKERS for _ in range(count)]


class TheLanguage(unittest.TestCase):
    def test_the_same_seed_makes_the_same_tasks(self):
        self.assertEqual(tasks(False), tasks(False))
        self.assertNotEqual(tasks(False), tasks(False, seed=4))

    def test_every_held_out_task_names_something_that_training_never_saw(self):
        trained = {n for t in tasks(False) for n in re.findall(r"\b[a-z]{4}\b", t.prompt)}
        for task in tasks(True):
            words = set(re.findall(r"\b[a-z]{4}\b", task.prompt))
            self.assertTrue(words - trained, task.prompt)

    def test_a_name_is_of_one_world_only(self):
        rng = random.Random(5)
        drawn = {world: {names.Names(rng, world).one() for _ in range(2000)} for world in (False, True)}
        self.assertFalse(drawn[False] & drawn[True])

    def test_the_answer_follows_from_the_prompt(self):
        """Of every maker: a program that knows nothing but the prompt comes to the same answer."""
        for held_out in (False, True):
            for task in tasks(held_out, seed=6, count=300):
                self.assertEqual(solvers.SOLVERS[task.kind](task.prompt), task.answer, task.prompt)

    def test_every_maker_has_a_solver(self):
        self.assertEqual({task.kind for task in tasks(True, count=1)}, set(solvers.SOLVERS))

    def test_paraphrases_say_the_same_and_the_third_sentence_does_not(self):
        rng = random.Random(7)
        for _ in range(500):
            first, second, other = paraphrases.triple(rng, True)
            self.assertNotEqual(first, second)
            self.assertNotIn(other, (first, second))


class TheTokenizer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.words = tokenizer.Tokenizer()

    def test_any_text_comes_back(self):
        for text in [roster.preamble(), "Grüße, 12345.67 € — '\t\n\n  x", '{"a":1}', *[t.worked() for t in tasks(True)]]:
            self.assertEqual(self.words.decode(self.words.encode(text)), text)

    def test_words_of_the_language_and_two_digit_numbers_are_one_token_and_names_two(self):
        self.assertEqual(len(self.words.encode(" critical")), 1)
        self.assertEqual(len(self.words.encode("81")), 1)
        self.assertEqual(len(self.words.encode(" kelo")), 2)
        self.assertEqual(len(self.words.encode("450")), 3)

    def test_tasks_are_short(self):
        for task in tasks(True):
            self.assertLessEqual(len(self.words.encode(task.prompt)), 80, task.prompt)
            self.assertLessEqual(len(self.words.encode(task.worked())), 60, task.worked())


class TheExamples(unittest.TestCase):
    def test_what_is_shipped_is_what_the_generator_makes(self):
        for name, made in (("eval.jsonl", examples.evaluation(random.Random(7))),
                           ("tasks-demo.jsonl", examples.demo(random.Random(8)))):
            shipped = [json.loads(line) for line in (examples.EXAMPLES / name).read_text().splitlines()]
            self.assertEqual(shipped, made, name)

    def test_every_agent_has_two_tasks_of_its_tiers_steps(self):
        lines = examples.demo(random.Random(8))
        self.assertEqual(len(lines), 2 * len(roster.agents()))
        for agent, tier in roster.agents():
            self.assertEqual(sorted(l["steps"] for l in lines if l["agent"] == agent), examples.STEPS[tier])


if __name__ == "__main__":
    unittest.main()
