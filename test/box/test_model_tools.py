"""Model tools from the file to the answer, and as jobs of the daemon."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

import box


class ToolsTest(unittest.TestCase):
    """What the tools make is what the daemon serves."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="skep-box-tools-"))
        lines = (f"pump {i % 7} reads {i * 31 % 101} over limit {i * 17 % 97}\n" for i in range(600))
        (self.folder / "text").write_text("".join(lines))
        self.tool("synth", "--shape", "tiny", "--type", "F32", "-o", "base.gguf")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def tool(self, *arguments):
        done = subprocess.run([box.skep, "model", *arguments], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def daemon(self, config=""):
        return box.Daemon(f"model_folders: [{self.folder}]\nmemory: {{budget: 2GiB}}\n{config}")

    def said(self, daemon, model, **more):
        answer = daemon.chat(model, "pump 3 reads", **more)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json["choices"][0]["message"]["content"]

    def tune(self):
        self.tool("train", "text", "--model", "base.gguf", "--only", "ffn_down", "-o", "tuned.gguf", "--steps", "30",
                  "--learning-rate", "0.003")

    def test_what_a_model_needs_is_known_before_and_is_what_the_ledger_books(self):
        path = box.model("tiny-wide", "q8_0")
        for context, slots in ((256, 1), (512, 3)):
            asked = subprocess.run([box.skep, "model", "inspect", path, "--context", str(context), "--slots", str(slots), "--json"],
                                   stdout=subprocess.PIPE, check=True, timeout=60)
            need = json.loads(asked.stdout)["need"]
            config = f"memory: {{budget: 2GiB}}\nengines: {{context: {context}, slots: {slots}, park_memory: 0}}\nmodels:\n  m: {{path: {path}}}\n"
            with box.Daemon(config) as daemon:
                self.assertEqual(daemon.chat("m", max_tokens=1).status, 200)
                booked = daemon.usage()["engines"]["models"][0]["host_bytes"]
            self.assertEqual(need["total_bytes"], booked)
            self.assertEqual((need["context_tokens"], need["slots"]), (context, slots))

    def test_a_text_that_prune_can_not_measure_on_leaves_no_output(self):
        (self.folder / "short.txt").write_text("too short")
        output = self.folder / "pruned.gguf"
        command = [box.skep, "model", "prune", box.model("tiny-wide", "f16"), str(output), "--layers", "1", "--text",
                   str(self.folder / "short.txt"), "--context", "64"]
        self.assertNotEqual(subprocess.run(command, stderr=subprocess.DEVNULL, timeout=60).returncode, 0)
        self.assertFalse(output.exists())
        (self.folder / "short.txt").write_text("long enough " * 400)
        self.assertEqual(subprocess.run(command, stdout=subprocess.DEVNULL, timeout=60).returncode, 0)

    def test_a_quantized_model_is_served(self):
        self.tool("quantize", "base.gguf", "small.gguf", "--type", "Q8_0", "--imatrix-text", "text")
        self.assertLess((self.folder / "small.gguf").stat().st_size, (self.folder / "base.gguf").stat().st_size / 2)
        with self.daemon() as daemon:
            self.said(daemon, "small")
            described = daemon.post("/api/show", {"model": "small"}).json["details"]
            self.assertEqual(described["quantization_level"], "Q8_0")

    def test_a_patched_model_is_the_new_one_to_the_byte_and_replaces_the_one_that_is_served(self):
        self.tune()
        shutil.copy(self.folder / "tuned.gguf", self.folder / "wanted")
        with self.daemon() as daemon:
            old, new = self.said(daemon, "base"), self.said(daemon, "tuned")
            self.assertNotEqual(old, new)
            self.tool("diff", "base.gguf", "tuned.gguf", "-o", "delta")
            self.assertLess((self.folder / "delta").stat().st_size, (self.folder / "wanted").stat().st_size / 2)
            (self.folder / "tuned.gguf").unlink()
            self.tool("patch", "base.gguf", "delta", "-o", "base.gguf")
            self.assertEqual((self.folder / "base.gguf").read_bytes(), (self.folder / "wanted").read_bytes())
            self.assertIn(self.said(daemon, "base"), (old, new))  # the engine keeps the file that it has open
        with self.daemon() as daemon:
            self.assertEqual(self.said(daemon, "base"), new)

    def test_an_adapter_makes_of_the_base_what_it_was_extracted_from(self):
        self.tune()
        self.tool("adapter", "extract", "base.gguf", "tuned.gguf", "pumps.gguf", "--rank", "64")
        self.tool("adapter", "merge", "base.gguf", "pumps.gguf", "merged.gguf")
        with self.daemon("engines: {adapters: [pumps], forward: llama}\n") as daemon:
            base, tuned = self.said(daemon, "base"), self.said(daemon, "tuned")
            self.assertNotEqual(base, tuned)
            self.assertEqual(self.said(daemon, "merged"), tuned)
            self.assertEqual(self.said(daemon, "base", adapter="pumps"), tuned)
            self.assertEqual(self.said(daemon, "base"), base)


class BoundedMemoryTest(unittest.TestCase):
    """Tools work through a model piece by piece: what they take does not grow with the file."""

    MODEL = ("synth", "--shape", "tiny-wide", "--layers", "96", "--type", "F16")

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="skep-box-bounds-"))
        cls.most(*cls.MODEL, "-o", "old.gguf")
        cls.most(*cls.MODEL, "--seed", "2", "-o", "new.gguf")
        cls.size = (cls.folder / "old.gguf").stat().st_size

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def most(cls, *arguments):
        """Bytes that the tool had resident at most, mapped files included."""
        process = subprocess.Popen([box.skep, "model", *arguments], cwd=cls.folder, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, arguments
        return used.ru_maxrss * 1024

    def test_it_is_less_than_half_of_the_model(self):
        self.assertGreater(self.size, 100 << 20)
        for arguments in (("quantize", "old.gguf", "small.gguf", "--type", "Q8_0"),
                          ("quantize", "small.gguf", "smaller.gguf", "--type", "Q4_0", "--requantize"),
                          ("diff", "old.gguf", "new.gguf", "-o", "delta"),
                          ("patch", "old.gguf", "delta", "-o", "patched.gguf"),
                          ("adapter", "extract", "old.gguf", "new.gguf", "adapter.gguf", "--rank", "1"),
                          ("adapter", "merge", "old.gguf", "adapter.gguf", "merged.gguf")):
            with self.subTest(tool=arguments):
                self.assertLess(self.most(*arguments), self.size // 2)

    def test_pruning_takes_the_weights_and_little_more(self):
        (self.folder / "text").write_text("the pump is over limit. " * 200)
        took = self.most("prune", "old.gguf", "pruned.gguf", "--layers", "3", "--text", "text", "--context", "64", "--windows", "1")
        self.assertLess(took, self.size + (64 << 20))


class DistillTest(unittest.TestCase):
    """A demo model teaches: its answers are right and reach the student, from a file and from a server."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="skep-box-distill-"))
        lines = (box.root / "examples/eval.jsonl").read_text().splitlines()
        cls.tasks = [json.loads(line) for line in lines][::12]
        (cls.folder / "questions.jsonl").write_text("".join(json.dumps(task) + "\n" for task in cls.tasks))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def distill(self, output, *arguments):
        done = subprocess.run([box.skep, "model", "distill", "questions.jsonl", "--model", box.root / "models/fast.gguf", "-o", output,
                               "--steps", "2", "--json", *map(str, arguments)], cwd=self.folder, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        answers = [json.loads(line) for line in (self.folder / (output + ".answers.jsonl")).read_text().splitlines()]
        return json.loads(done.stdout)["answers"], answers

    def check(self, asked, answers):
        self.assertEqual(asked["questions"], len(self.tasks))
        self.assertEqual(asked["failed"], 0)
        self.assertEqual(asked["kept"], len(answers))
        self.assertGreaterEqual(asked["kept"], 0.8 * len(self.tasks))

    def test_from_a_file(self):
        asked, answers = self.distill("all.gguf", "--teacher", box.root / "models/deep.gguf")
        self.check(asked, answers)
        self.assertEqual(asked["kept"], len(self.tasks))
        self.assertTrue(all(answer["answer"] for answer in answers))

    def test_only_what_is_right(self):
        asked, answers = self.distill("right.gguf", "--teacher", box.root / "models/deep.gguf", "--only-right")
        self.check(asked, answers)
        self.assertEqual(asked["kept"] + asked["wrong"], len(self.tasks))
        expected = {json.dumps(task["messages"]): task["answer"] for task in self.tasks}
        for answer in answers:
            self.assertEqual(answer["answer"].splitlines()[-1], expected[json.dumps(answer["messages"])])

    def test_from_a_server(self):
        with box.Daemon(f"model_folders: [{box.root / 'models'}]\nmemory: {{budget: 2GiB}}\n") as daemon:
            asked, answers = self.distill("far.gguf", "--teacher", "deep", "--url", daemon.url, "--only-right")
        self.check(asked, answers)


class JobTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="skep-box-jobs-"))
        shutil.copy(box.model("tiny-wide", "f16"), self.folder / "wide.gguf")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def finish(self, daemon, job):
        for _ in range(600):
            view = daemon.get(f"/api/optimize/models/{job}").json
            if view["state"] not in ("queued", "running"):
                return view
            time.sleep(0.1)
        self.fail(f"the job did not end: {view}")

    def test_a_job_makes_a_model_that_can_be_used(self):
        with box.Daemon(f"model_folders: [{self.folder}]\nmemory: {{budget: 2GiB}}\n") as daemon:
            asked = {"tool": "quantize", "parameters": {"input": "wide.gguf", "output": "small.gguf", "type": "Q4_0"}}
            answer = daemon.post("/api/optimize/models", asked)
            self.assertEqual(answer.status, 202)
            self.assertEqual(answer.headers["Location"], f"/api/optimize/models/{answer.json['id']}")
            job = self.finish(daemon, answer.json["id"])
            self.assertEqual(job["state"], "done", job)
            self.assertEqual(job["result"]["bytes_after"], (self.folder / "small.gguf").stat().st_size)
            for _ in range(100):
                if daemon.chat("small", max_tokens=2).status == 200:
                    break
                time.sleep(0.1)
            self.assertEqual(daemon.chat("small", max_tokens=2).status, 200)
            # The same again: the file is there now.
            again = self.finish(daemon, daemon.post("/api/optimize/models", asked).json["id"])
            self.assertEqual((again["state"], again["error"]["code"]), ("failed", "conflict"))
            self.assertEqual(len(daemon.get("/api/optimize/models").json["jobs"]), 2)

    def test_a_job_can_be_cancelled_and_leaves_nothing(self):
        (self.folder / "text").write_text("the pump is over limit. " * 20000)
        with box.Daemon(f"model_folders: [{self.folder}]\nmemory: {{budget: 4GiB}}\n") as daemon:
            job = daemon.post("/api/optimize/models", {"tool": "train", "parameters": {
                "data": "text", "shape": "tiny-wide", "output": "trained.gguf", "epochs": 1000}}).json["id"]
            for _ in range(300):
                view = daemon.get(f"/api/optimize/models/{job}").json
                if view["stage"] == "training":
                    break
                time.sleep(0.1)
            self.assertEqual(view["stage"], "training", view)
            self.assertEqual(daemon.chat("wide", max_tokens=2).status, 200)  # the box goes on serving
            daemon.request("DELETE", f"/api/optimize/models/{job}")
            self.assertEqual(self.finish(daemon, job)["state"], "cancelled")
            names = {p.name for p in self.folder.iterdir() if p.is_file()}
            self.assertEqual(names, {"wide.gguf", "text", "trained.gguf.checkpoint"})

    def test_no_file_outside_the_model_folders_is_touched(self):
        with box.Daemon(f"model_folders: [{self.folder}]\n") as daemon:
            for parameters in ({"input": "/etc/hostname", "output": "x.gguf"}, {"input": "wide.gguf", "output": "../x.gguf"},
                               {"input": "wide.gguf", "output": "x.gguf", "progress-fd": 1}):
                answer = daemon.post("/api/optimize/models", {"tool": "quantize", "parameters": parameters})
                self.assertIn(answer.status, (400, 404), parameters)


if __name__ == "__main__":
    unittest.main()
