"""`skep sim`, `skep golden belief` and `skep bench belief` as commands: what they write, what they print, and their exit codes."""
import csv
import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import box

SCENARIO = """name: box
steps: 12
world: {kind: foraging, width: 4, height: 4, patches: 2}
populations:
  planners: {agents: 8, mind: planning, horizon: 2}
  others: {agents: 3, mind: random}
sweep: {seeds: 2, vary: {world.change: [0.01, 0.3]}}
"""


class Commands(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="skep-sim-"))
        self.file("box.yaml").write_text(SCENARIO)

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def file(self, name):
        return self.folder / name

    def skep(self, *arguments, code=0):
        process = subprocess.run([box.skep, *map(str, arguments)], capture_output=True, text=True, timeout=120, cwd=self.folder)
        self.assertEqual(process.returncode, code, f"{arguments}: {process.stdout}{process.stderr}")
        return process.stdout if code == 0 else process.stdout + process.stderr


class SimTest(Commands):
    def record(self, name, *arguments):
        return json.loads(self.skep("sim", "box.yaml", "--seed", "9007199254740993", "--record", name, "--json", *arguments))

    def test_a_run_leaves_its_recording_tables_plot_and_summary(self):
        summary = self.record("run.jsonl", "--table", "run.csv", "--table", "rows.jsonl", "--plot", "run.svg")
        self.assertEqual((summary["scenario"], summary["seed"], summary["steps"]), ("box", 9007199254740993, 12))
        self.assertEqual([p["name"] for p in summary["populations"]], ["planners", "others"])
        frames = [json.loads(line) for line in self.file("run.jsonl").read_text().splitlines()]
        self.assertEqual([frame["step"] for frame in frames[1:]], list(range(1, 13)))
        with open(self.file("run.csv"), newline="") as table:
            rows = list(csv.DictReader(table))
        self.assertEqual(rows[-1]["step"], "12")
        self.assertEqual(len(rows), 24)
        objects = [json.loads(line) for line in self.file("rows.jsonl").read_text().splitlines()]
        for row, other in zip(rows, objects):
            self.assertEqual((row["population"], float(row["reward"])), (other["population"], other["reward"]))
        mean = sum(float(r["reward"]) for r in rows if r["population"] == "planners") / 12
        self.assertAlmostEqual(mean, summary["populations"][0]["reward"], places=9)
        self.assertTrue(self.file("run.svg").read_text().startswith("<svg"))

    def test_a_recording_is_replayed_and_verified_and_a_tampered_one_is_not(self):
        summary = self.record("run.jsonl")
        replayed = json.loads(self.skep("sim", "--replay", "run.jsonl", "--json"))
        self.assertEqual((replayed["seed"], replayed["steps"]), (summary["seed"], 12))
        for shown, mean in zip(replayed["populations"], summary["populations"]):  # recorded in f32
            self.assertAlmostEqual(shown["reward"], mean["reward"], delta=1e-6)
            self.assertAlmostEqual(shown["free_energy"], mean["free_energy"], delta=1e-6)
        self.assertIn("12 frames simulated again: all the same", self.skep("sim", "--replay", "run.jsonl", "--verify"))
        lines = self.file("run.jsonl").read_text().splitlines(keepends=True)
        frame = json.loads(lines[6])
        frame["agents"][0][0] += 1
        lines[6] = json.dumps(frame, separators=(",", ":")) + "\n"
        self.file("other.jsonl").write_text("".join(lines))
        self.assertIn("other.jsonl:7", self.skep("sim", "--replay", "other.jsonl", "--verify", code=2))
        self.skep("sim", "--replay", "nothing.jsonl", code=2)
        self.skep("sim", "--replay", "box.yaml", code=2)

    def test_a_run_that_was_cut_off_goes_on_as_if_nothing_had_happened(self):
        self.record("run.jsonl")
        whole = self.file("run.jsonl").read_bytes()
        for cut in (whole.find(b"\n") + 1, len(whole) // 2, len(whole) - 1):
            self.file("cut.jsonl").write_bytes(whole[:cut])
            self.assertEqual(json.loads(self.skep("sim", "--resume", "cut.jsonl", "--json"))["steps"], 12)
            self.assertEqual(self.file("cut.jsonl").read_bytes(), whole)
        self.assertEqual(json.loads(self.skep("sim", "--resume", "cut.jsonl", "--steps", "15", "--json"))["steps"], 15)
        self.assertEqual(self.file("cut.jsonl").read_bytes()[:len(whole)], whole)
        self.skep("sim", "--replay", "cut.jsonl", "--verify", "--json")

    def test_sweeps_print_a_summary_and_write_every_run(self):
        cells = json.loads(self.skep("sim", "box.yaml", "--sweep", "--json", "--table", "s.csv", "--table", "s.jsonl"))
        self.assertEqual([(c["values"], c["population"], c["runs"]) for c in cells],
                         [(f"change={v}", p, 2) for v in ("0.01", "0.3") for p in ("planners", "others")])
        with open(self.file("s.csv"), newline="") as table:
            rows = list(csv.DictReader(table))
        objects = [json.loads(line) for line in self.file("s.jsonl").read_text().splitlines()]
        self.assertEqual(len(rows), 8)
        for row, other in zip(rows, objects):
            self.assertEqual(float(row["world.change"]), other["values"]["world.change"])
            self.assertEqual((int(row["seed"]), row["population"]), (other["seed"], other["population"]))
            self.assertEqual(float(row["reward"]), other["reward"])
        again = json.loads(self.skep("sim", "box.yaml", "--seeds", "3", "--set", "world.change=0.3", "--json"))
        self.assertEqual({c["runs"] for c in again}, {3})
        self.assertIn("beats others in", self.skep("sim", "box.yaml", "--seeds", "2"))

    def test_mistakes_are_said_before_any_work(self):
        for arguments, word in ((["box.yaml", "--sweep", "--table", "s.xls"], ".jsonl"), (["box.yaml", "--table", "s.xls"], ".jsonl"),
                                (["box.yaml", "--set", "world.chance=1"], "chance"), (["box.yaml", "--set", "nonsense"], "KEY=VALUE"),
                                (["nothing.yaml"], "nothing.yaml"), (["box.yaml", "--seeds", "2", "--record", "r.jsonl"], "one run"),
                                ([], "which scenario")):
            self.assertIn(word, self.skep("sim", *arguments, code=2))
        self.assertFalse(self.file("s.xls").exists())


class GoldenTest(Commands):
    def test_passes_pymdps_vectors_and_fails_what_is_off(self):
        vectors = box.root / "test/data/golden/belief"
        out = self.skep("golden", "belief", vectors)
        self.assertRegex(out, r"(?m)^f64 q_pi +\d+ +\S+$")
        self.assertTrue(out.endswith("26 passed, 0 failed\n"), out)
        self.file("cases").mkdir()
        case = json.loads((vectors / "case_03.json").read_text())
        self.file("cases/good.json").write_text(json.dumps(case))
        case["steps"][1]["q_pi"][0] += 1e-5
        self.file("cases/off.json").write_text(json.dumps(case))
        del case["steps"][0]["qs"]
        self.file("cases/without.json").write_text(json.dumps(case))
        out = self.skep("golden", "belief", "cases", code=1)
        self.assertRegex(out, r"FAILED off.json: .*step 1.* q_pi")
        self.assertRegex(out, r"FAILED without.json: .*step 0: no qs")
        self.assertTrue(out.endswith("1 passed, 2 failed\n"), out)
        report = json.loads(self.skep("golden", "belief", "cases", "--json", code=1))
        self.assertEqual((report["passed"], report["failed"], len(report["failures"])), (1, 2, 2))
        self.file("empty").mkdir()
        self.skep("golden", "belief", "empty", code=2)


class BenchTest(Commands):
    def test_one_result_by_its_name(self):
        report = json.loads(self.skep("bench", "belief", "--only", "bytes per agent", "--json"))
        self.assertEqual([row["name"] for row in report["results"]], ["bytes per agent", "bytes per agent, distributions kept"])
        self.assertTrue(all(row["met"] for row in report["results"]))
        self.assertIn("nonsense", self.skep("bench", "belief", "--only", "nonsense", code=2))


if __name__ == "__main__":
    unittest.main()
