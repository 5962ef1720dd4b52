"""Models inside the byte budget (R1): nothing measured above it, few loads, clear refusals."""
import json
import random
import threading
import unittest

import box


def belady(trace, slots):
    """Loads that the best possible plan needs: evict what is used furthest in the future."""
    resident, loads = set(), 0
    for at, model in enumerate(trace):
        if model in resident:
            continue
        loads += 1
        if len(resident) == slots:
            def next_use(m):
                return trace.index(m, at + 1) if m in trace[at + 1:] else len(trace)
            resident.remove(max(resident, key=next_use))
        resident.add(model)
    return loads


def lru(trace, slots):
    resident, loads = [], 0
    for model in trace:
        if model in resident:
            resident.remove(model)
        else:
            loads += 1
            if len(resident) == slots:
                resident.pop(0)
        resident.append(model)
    return loads


class ResidencyTest(unittest.TestCase):
    def two_of_three(self):
        """A budget in which two of three equal models fit, by what the ledger says of one."""
        path = box.model("smollm-135m", "q4_0")
        models = "".join(f"  m{i}: {{path: {self.copy_of(path, i)}}}\n" for i in range(3))
        common = f"engines: {{context: 1024, slots: 2, park_memory: 16MiB}}\nmodels:\n{models}"
        with box.Daemon("memory: {budget: 4GiB}\n" + common) as probe:
            self.assertEqual(probe.chat("m0", max_tokens=1).status, 200)
            ledger = {e["what"]: e["reserved_bytes"] for e in probe.usage()["memory"]["ledger"]}
        engine = next(v for k, v in ledger.items() if "m0" in k)
        budget = ledger["daemon"] + int(2.6 * engine)
        return f"memory: {{budget: {budget}}}\n" + common, budget

    @staticmethod
    def copy_of(path, i):
        copy = path.with_name(f"copy{i}-" + path.name)
        if not copy.exists():
            copy.write_bytes(path.read_bytes())
        return copy

    def play(self, trace):
        config, budget = self.two_of_three()
        with box.Daemon(config) as daemon:
            watch = box.MemoryWatch(daemon)
            for model in trace:
                answer = daemon.chat(model, text="Status?", max_tokens=2)
                self.assertEqual(answer.status, 200, answer.body)
            most = watch.end()
            loads = sum(row["loads"] for row in daemon.get("/api/performance/metrics").json["models"])
        self.assertLessEqual(most, budget)
        return loads, most, budget

    def test_200_alternating_requests_stay_in_the_budget_with_few_loads(self):
        trace = [f"m{i % 3}" for i in range(200)]
        loads, most, budget = self.play(trace)
        best, plain = belady(trace, 2), lru(trace, 2)
        print(f"\n  alternating: {loads} loads, LRU {plain}, Belady {best}; peak {most >> 20} of {budget >> 20} MiB")
        self.assertLessEqual(loads, plain)
        self.assertLessEqual(loads, 1.3 * best)

    def test_requests_at_once_are_grouped_by_model(self):
        config, budget = self.two_of_three()
        rng = random.Random(5)
        with box.Daemon(config) as daemon:
            watch = box.MemoryWatch(daemon)
            statuses = []

            def ask(model):
                statuses.append(daemon.chat(model, text="Status?", max_tokens=2).status)

            threads = [threading.Thread(target=ask, args=(f"m{rng.randrange(3)}",)) for _ in range(60)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            most = watch.end()
            loads = sum(row["loads"] for row in daemon.get("/api/performance/metrics").json["models"])
        self.assertEqual(set(statuses), {200})
        self.assertLessEqual(most, budget)
        self.assertLessEqual(loads, 6)

    def test_a_model_that_can_never_fit_is_refused_with_the_numbers(self):
        with box.Daemon(f"memory: {{budget: 120MiB}}\nmodels: {{big: {{path: {box.model('smollm-135m', 'q4_0')}}}}}\n") as daemon:
            answer = daemon.chat("big")
            self.assertEqual(answer.status, 507 if answer.status == 507 else 503, answer.body)
            self.assertIn("MiB", answer.json["error"]["message"])

    def test_what_is_preloaded_is_there_before_anybody_asks_and_what_is_pinned_stays(self):
        path = box.model("smollm-135m", "q4_0")
        models = (f"models:\n  a: {{path: {path}, preload: true, pin: true}}\n  b: {{path: {self.copy_of(path, 1)}, preload: true}}\n"
                  f"  c: {{path: {self.copy_of(path, 2)}}}\nengines: {{context: 512, slots: 1, park_memory: 1MiB}}\n")
        with box.Daemon("memory: {budget: 2GiB}\n" + models) as daemon:
            def loaded():
                return sorted(m["name"].split(":")[0] for m in daemon.get("/api/ps").json["models"])
            box.wait_until(lambda: loaded() == ["a", "b"], what="preloading")
            ledger = {e["what"]: e["reserved_bytes"] for e in daemon.usage()["memory"]["ledger"]}
        engine = max(v for k, v in ledger.items() if k != "daemon")
        with box.Daemon(f"memory: {{budget: {ledger['daemon'] + int(2.3 * engine)}}}\n" + models) as daemon:
            box.wait_until(lambda: loaded() == ["a", "b"], what="preloading")
            self.assertEqual(daemon.chat("c", max_tokens=1).status, 200)
            self.assertEqual(loaded(), ["a", "c"], "b was used as little, but a is pinned")

    def test_keep_alive_zero_unloads_and_ps_says_what_is_there(self):
        with box.Daemon(f"memory: {{budget: 1GiB}}\nmodels: {{one: {{path: {box.model('tiny')}}}}}\n") as daemon:
            self.assertEqual(daemon.chat("one").status, 200)
            self.assertEqual([m["name"].split(":")[0] for m in daemon.get("/api/ps").json["models"]], ["one"])
            daemon.post("/api/generate", {"model": "one", "keep_alive": 0, "stream": False})
            box.wait_until(lambda: daemon.get("/api/ps").json["models"] == [], what="unloading")
            self.assertEqual(daemon.workers(), [])

    def test_models_appear_and_go_while_it_runs(self):
        with box.Daemon("memory: {budget: 1GiB}\nmodel_folders: [here]\n") as daemon:
            self.assertEqual(daemon.chat("late").status, 404)
            folder = daemon.folder / "here"
            folder.mkdir()
            (folder / "late.gguf").write_bytes(box.model("tiny").read_bytes())
            (folder / "bad.gguf").write_bytes(b"GGUF and nothing behind it")
            box.wait_until(lambda: daemon.chat("late", max_tokens=1).status == 200, 30, "the new model")
            bad = daemon.chat("bad")
            self.assertIn(bad.status, (400, 404, 422))
            self.assertIn("bad", bad.json["error"]["message"])


if __name__ == "__main__":
    unittest.main()
