"""`skep demo`, the one command: 131 agents work through the shipped tasks inside 4 GiB, and choosing a model by complexity
is worth something."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.request

import box

GIB = 1 << 30


class DemoTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="skep-box-demo-"))
        self.port = box.free_port()
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("SKEP_")}
        self.environment["XDG_STATE_HOME"] = str(self.folder / "state")

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *arguments):
        return subprocess.Popen(
            [box.skep, "demo", "--folder", str(self.folder / "demo"), "--listen", f"127.0.0.1:{self.port}", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment, cwd=self.folder)

    def test_every_task_is_answered_inside_the_budget_and_complexity_chooses_well(self):
        demo = self.start("--once", "--json")
        out, err = demo.communicate(timeout=400)
        self.assertEqual(demo.returncode, 0, err)
        summary = json.loads(out[out.index("{"):])
        self.assertGreaterEqual(summary["tasks"], 262)
        self.assertEqual((summary["failed"], summary["broken_lines"], summary["interrupted"]), (0, 0, False))
        self.assertEqual(summary["budget_bytes"], 4 * GIB)
        self.assertLessEqual(summary["peak_memory_bytes"], summary["peak_reserved_bytes"])
        self.assertLessEqual(summary["peak_reserved_bytes"], 4 * GIB)
        results = [json.loads(line) for line in (self.folder / "demo" / "results.jsonl").read_text().splitlines()[1:]]
        agents = {r["agent"] for r in results if r.get("agent")}
        self.assertEqual(len(agents), 131)
        memory = {tier["name"]: tier["memory_bytes"] for tier in summary["tiers"]}
        self.assertTrue(all(0 < memory[tier] < 4 * GIB for tier in ("fast", "balanced", "deep")), memory)
        right = {p["model"]: p["accuracy"]["right"] / p["accuracy"]["graded"] for p in summary["passes"]}
        self.assertGreater(right["deep"], right["fast"] + 0.2, right)
        self.assertGreaterEqual(right["auto"], right["deep"] - 0.05, right)

    def test_every_demo_begins_anew(self):
        reused = []
        for _ in range(2):
            out, err = self.start("--once", "--json").communicate(timeout=400)
            summary = json.loads(out[out.index("{"):])
            reused.append([run["cached_tokens"] / run["prompt_tokens"] for run in [summary, *summary["passes"]]])
        first, second = reused
        for run, (before, again) in enumerate(zip(first, second)):
            self.assertLess(again, 0.95, (run, reused))  # what one run left answers for no other
            self.assertAlmostEqual(before, again, delta=0.1, msg=(run, reused))

    def test_a_second_demo_keeps_out_of_the_folder_of_the_first(self):
        first = self.start()
        try:
            box.wait_until((self.folder / "demo" / "results.jsonl").exists, 60, "the first demo")
            second = self.start("--once")
            _, err = second.communicate(timeout=60)
            self.assertNotEqual(second.returncode, 0)
            self.assertIn("another skep works in this folder", err)
            self.assertIsNone(first.poll())
        finally:
            first.kill()
            first.communicate()

    def test_it_goes_on_serving_until_it_is_interrupted(self):
        few = self.folder / "few.jsonl"
        few.write_text("".join('{"input": "Pump 4 reads 81 degrees.", "max_tokens": 4}\n' for _ in range(3)))
        demo = self.start("--tasks", str(few))
        try:
            url = f"http://127.0.0.1:{self.port}/api/agents"

            def done():
                self.assertIsNone(demo.poll(), "it ended by itself")
                lines = (self.folder / "demo" / "results.jsonl")
                return lines.exists() and len(lines.read_text().splitlines()) >= 3

            box.wait_until(done, 60, "the tasks")
            time.sleep(1)
            self.assertIsNone(demo.poll())
            with urllib.request.urlopen(url, timeout=10) as answer:
                self.assertEqual(answer.status, 200)
            demo.send_signal(signal.SIGINT)
            out, _ = demo.communicate(timeout=30)
            self.assertEqual(demo.returncode, 0)
            self.assertIn("goes on serving", out)
        finally:
            if demo.poll() is None:
                demo.kill()


if __name__ == "__main__":
    unittest.main()
