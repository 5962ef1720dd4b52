"""`skep run`: task files through a daemon inside the command; resumed after Ctrl-C and after kill -9."""
import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import box


class RunTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="skep-run-"))
        self.config = self.folder / "skep.yaml"
        self.config.write_text(f"memory: {{budget: 1GiB}}\nstate_folder: {self.folder}/state\n"
                               f"models: {{one: {{path: {box.model('tiny')}}}}}\ntiers: {{fast: {{models: [one], max_tokens: 16}}, "
                               "balanced: {models: [one], max_tokens: 16}, deep: {models: [one], max_tokens: 16}}\n")
        self.tasks, self.results = self.folder / "tasks.jsonl", self.folder / "results.jsonl"

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def write_tasks(self, n):
        with open(self.tasks, "w") as file:
            for i in range(n):
                file.write(json.dumps({"id": f"t{i}", "input": f"Reading {i}?", "model": "one", "max_tokens": 4, "temperature": 0}) + "\n")

    def start(self, *arguments):
        return subprocess.Popen([box.skep, "run", str(self.tasks), "-o", str(self.results), "-c", str(self.config), *arguments],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder)

    def ids(self):
        if not self.results.exists():
            return []
        whole = [line for line in self.results.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [json.loads(line)["id"] for line in whole]

    def test_every_task_has_one_result_with_model_tokens_and_times(self):
        self.write_tasks(60)
        process = self.start("--json")
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, err)
        summary = json.loads(out)
        self.assertEqual(summary["tasks"], 60)
        self.assertLessEqual(summary["peak_memory_bytes"], summary["budget_bytes"])
        lines = [json.loads(line) for line in self.results.read_text().splitlines()]
        self.assertEqual(sorted(line["id"] for line in lines), sorted(f"t{i}" for i in range(60)))
        for line in lines:
            self.assertEqual(line["model"], "one")
            self.assertEqual(line["completion_tokens"], 4)
            self.assertGreater(line["total_s"], 0)
            self.assertTrue(line["reason"])

    def test_a_daemon_that_runs_already_does_the_work(self):
        self.write_tasks(40)
        config = [line for line in self.config.read_text().splitlines() if not line.startswith("state_folder")]  # it has its own
        with box.Daemon("\n".join(config)) as daemon:
            out = subprocess.run([box.skep, "run", str(self.tasks), "-o", str(self.results), "--url", daemon.url, "--json"],
                                 capture_output=True, text=True, timeout=120, cwd=self.folder)
        self.assertEqual(out.returncode, 0, out.stderr)
        summary = json.loads(out.stdout)
        self.assertEqual((summary["tasks"], summary["failed"]), (40, 0))
        self.assertEqual(summary["models"][0]["name"], "one")
        self.assertEqual(summary["models"][0]["loads"], 1)
        self.assertEqual(sorted(self.ids()), sorted(f"t{i}" for i in range(40)))

    def test_nobody_at_the_url_is_said_with_its_exit_code(self):
        self.write_tasks(1)
        out = subprocess.run([box.skep, "run", str(self.tasks), "-o", str(self.results), "--url", "http://127.0.0.1:1"],
                             capture_output=True, text=True, timeout=60, cwd=self.folder)
        self.assertEqual(out.returncode, 3)
        self.assertIn("skep serve", out.stderr)

    def test_ctrl_c_finishes_what_runs_and_a_second_run_resumes(self):
        self.write_tasks(3000)
        process = self.start()
        box.wait_until(lambda: len(self.ids()) > 50, 60, "some results")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        done = len(self.ids())
        self.assertLess(done, 3000)
        self.write_tasks(done + 40)
        out, err = self.start("--json").communicate(timeout=120)
        self.assertEqual(json.loads(out)["resumed"], done)
        self.assertEqual(collections.Counter(self.ids()), collections.Counter(f"t{i}" for i in range(done + 40)))

    def test_after_kill_9_nothing_is_repeated_or_lost(self):
        self.write_tasks(400)
        for _ in range(3):
            process = self.start()
            before = len(self.ids())
            box.wait_until(lambda: len(self.ids()) > before or process.poll() is not None, 60, "progress")
            process.kill()
            process.communicate()
        process = self.start()
        process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(collections.Counter(self.ids()), collections.Counter(f"t{i}" for i in range(400)))

    def test_no_worker_outlives_a_killed_daemon(self):
        self.write_tasks(2000)
        process = self.start()
        box.wait_until(lambda: len(self.ids()) > 5, 60, "some results")
        workers = box.children(process.pid)
        self.assertTrue(workers)
        process.kill()
        process.communicate()
        box.wait_until(lambda: not any(pathlib.Path(f"/proc/{w}").exists() and box.pss(w) for w in workers), 10, "their end")

    def test_memory_stays_flat_on_a_long_file(self):
        with open(self.tasks, "w") as file:  # lines that are refused at once: reading is what is tested
            for i in range(200_000):
                file.write('{"id": "x%d", "model": "nobody", "input": "%s"}\n' % (i, "y" * 500))
        process = self.start()
        most, peak_at_start = 0, None
        while process.poll() is None:
            now = box.pss(process.pid)
            if peak_at_start is None and self.results.exists() and self.results.stat().st_size > 1_000_000:
                peak_at_start = now
            most = max(most, now)
            time.sleep(0.05)
        process.communicate()
        self.assertEqual(sum(1 for _ in open(self.results)), 200_000)
        self.assertIsNotNone(peak_at_start)
        self.assertLess(most - peak_at_start, 8 << 20)

    def test_help_and_errors_say_what_to_do(self):
        process = subprocess.run([box.skep, "run", "nothing.jsonl", "-o", "x"], capture_output=True, text=True, cwd=self.folder)
        self.assertEqual(process.returncode, 2)
        self.assertIn("nothing.jsonl", process.stderr)
        process = subprocess.run([box.skep, "serve", "--budget", "much"], capture_output=True, text=True, cwd=self.folder)
        self.assertEqual(process.returncode, 2)
        self.assertIn("4GiB", process.stderr)


if __name__ == "__main__":
    unittest.main()
