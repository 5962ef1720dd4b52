"""The models that ship do what models/README.md says, through skep itself."""
import json
import random
import subprocess
import sys
import unittest

import box

sys.path.insert(0, str(box.root / "tools/demo_models"))
import paraphrases  # noqa: E402


class DemoModelsTest(unittest.TestCase):
    def accuracy(self, tier):
        """Share of right answers on the held-out tasks, by steps."""
        out = subprocess.run([box.skep, "model", "eval", str(box.root / f"models/{tier}.gguf"),
                              str(box.root / "examples/eval.jsonl"), "--json"], check=True, capture_output=True, text=True)
        return {int(steps): row["accuracy"] for steps, row in json.loads(out.stdout)["by_steps"].items()}

    def test_each_tier_can_what_it_is_for(self):
        fast, balanced, deep = (self.accuracy(tier) for tier in ("fast", "balanced", "deep"))
        self.assertGreaterEqual(fast[1], 0.90)
        self.assertLess(fast[2], 0.40)
        self.assertLess(fast[3], 0.40)
        self.assertGreaterEqual(balanced[1], 0.95)
        self.assertGreaterEqual(balanced[2], 0.85)
        self.assertGreaterEqual(deep[2], 0.90)
        self.assertGreaterEqual(deep[3], 0.80)

    def test_paraphrases_are_nearer_than_what_says_something_else(self):
        rng = random.Random(99)
        triples = [paraphrases.triple(rng, True) for _ in range(150)]
        vectors = []
        with box.Daemon(f"model_folders: [{box.root / 'models'}]\n") as daemon:
            for one in triples:
                answer = daemon.post("/v1/embeddings", {"model": "embed", "input": list(one)})
                self.assertEqual(answer.status, 200, answer.body)
                vectors.append([item["embedding"] for item in answer.json["data"]])
        near = sum(self.cosine(a, b) > self.cosine(a, c) for a, b, c in vectors)
        self.assertGreaterEqual(near / len(triples), 0.95)

    @staticmethod
    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b))


class DemoTrainingTest(unittest.TestCase):
    """scripts/train-demo-models from end to end, with so few steps that the models say nothing."""

    @staticmethod
    def tensors(path):
        out = subprocess.run([box.skep, "model", "inspect", str(path), "--json"], check=True, capture_output=True, text=True)
        described = json.loads(out.stdout)
        return {tensor["name"]: (tensor["type"], tensor["extent"]) for tensor in described["tensors"]}

    def test_a_few_steps_make_models_of_the_shape_that_ships(self):
        # scripts/setup leaves python3-torch out: half a gigabyte that only training needs.
        if subprocess.run(["/usr/bin/python3", "-c", "import torch"], capture_output=True).returncode != 0:
            self.skipTest("python3-torch is not installed; scripts/train-demo-models installs it")
        run = subprocess.run([str(box.root / "scripts/train-demo-models"), "--quick"], capture_output=True, text=True,
                             timeout=300)
        self.assertEqual(run.returncode, 0, run.stdout[-2000:] + run.stderr[-2000:])
        made = box.root / "build/demo-models-quick"
        for model in ("fast", "balanced", "deep", "embed"):
            self.assertEqual(self.tensors(made / f"{model}.gguf"), self.tensors(box.root / f"models/{model}.gguf"), model)
        for file in ("eval.jsonl", "tasks-demo.jsonl"):
            self.assertEqual((made / file).read_text(), (box.root / "examples" / file).read_text(), file)
        few = made / "few.jsonl"
        few.write_text("".join((made / "eval.jsonl").read_text().splitlines(keepends=True)[:4]))
        out = subprocess.run([box.skep, "model", "eval", str(made / "fast.gguf"), str(few), "--json"], capture_output=True,
                             text=True)
        self.assertEqual(out.returncode, 0, out.stderr)


if __name__ == "__main__":
    unittest.main()
