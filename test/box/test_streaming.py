"""Models larger than the budget (D8): some 380 MB of weights where fewer may be in memory."""
import contextlib
import os
import pathlib
import resource
import tempfile
import threading
import time
import unittest

import box

MiB = 1 << 20


@contextlib.contextmanager
def control_group(limit):
    """(the file that takes process ids, a function that says whether anybody was killed); None where there are none."""
    root = pathlib.Path("/sys/fs/cgroup")
    second = (root / "cgroup.controllers").exists()
    group = (root if second else root / "memory") / f"skep-test-{os.getpid()}"
    try:
        if second:
            with contextlib.suppress(OSError):
                (root / "cgroup.subtree_control").write_text("+memory")
        group.mkdir()
        (group / ("memory.max" if second else "memory.limit_in_bytes")).write_text(str(limit))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        raise unittest.SkipTest(f"no control group can be made here: {error}") from None
    try:
        events = group / ("memory.events" if second else "memory.oom_control")
        yield group / "cgroup.procs", lambda: dict(line.split() for line in events.read_text().splitlines())["oom_kill"] != "0"
    finally:
        for _ in range(50):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.1)


class StreamingTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.path = box.model("smollm-360m", "q8_0")
        cls.cache = cls.path.parent / ".skep" / (cls.path.name + ".weights")
        with box.Daemon(cls.config("4GiB")) as daemon:  # writes the weight cache, too
            cls.whole = daemon.chat("large", "Count the pumps.", max_tokens=6).json["choices"][0]["message"]["content"]
            cls.whole_said = daemon.usage()["engines"]["models"][0]["streamed"]

    @classmethod
    def config(cls, budget):
        return (f"memory: {{budget: {budget}}}\nengines: {{context: 256, slots: 1, batch: 64}}\n"
                f"models:\n  large: {{path: {cls.path}}}\n")

    def test_it_runs_within_the_budget_and_says_the_same(self):
        self.assertIsNone(self.whole_said)
        with box.Daemon(self.config("320MiB")) as daemon:
            most, over = 0, threading.Event()

            def watch():
                nonlocal most
                while not over.wait(0.05):
                    most = max(most, sum(box.pss(c) for c in box.children(daemon.process.pid)))
            thread = threading.Thread(target=watch)
            thread.start()
            streamed = daemon.chat("large", "Count the pumps.", max_tokens=6)
            over.set()
            thread.join()
            self.assertEqual(streamed.status, 200, streamed.body)
            self.assertEqual(streamed.json["choices"][0]["message"]["content"], self.whole)
            usage = daemon.usage()
            streamed = usage["engines"]["models"][0]["streamed"]
            self.assertGreater(streamed["weight_bytes"], 320 * MiB)
            self.assertLess(streamed["resident_bytes"], 320 * MiB)
            self.assertGreater(streamed["disk_bytes_per_second"], 0)
            # Every token reads what is not kept of the weights, and no more than all of them.
            fastest = streamed["disk_bytes_per_second"] / (streamed["weight_bytes"] - streamed["resident_bytes"])
            slowest = streamed["disk_bytes_per_second"] / streamed["weight_bytes"]
            self.assertTrue(slowest <= streamed["tokens_per_second"] <= fastest, streamed)
            self.assertIn("of weights at once", daemon.output())
            self.assertIn("runs from the disk", daemon.command("ps"))
            self.assertLessEqual(usage["memory"]["reserved_bytes"], usage["memory"]["budget_bytes"])
            self.assertLess(most, 320 * MiB)

    def forget_cached(self):
        """What the system has of the weights goes; the size of their file."""
        for path in (self.path, self.cache):
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                size = os.fstat(file.fileno()).st_size
        return size

    def test_its_first_token_comes_while_most_weights_are_not_in_memory(self):
        size = self.forget_cached()
        with box.Daemon(self.config("256MiB")) as daemon:
            for _ in daemon.stream("large", "Count.", max_tokens=16):
                self.assertLess(self.of_worker(daemon, "status", "RssFile") * 1024, size // 2)
                break
            else:
                self.fail("no token came")

    def of_worker(self, daemon, file, key):
        """A number of the worker's /proc files."""
        with open(f"/proc/{daemon.workers()[0]}/{file}") as lines:
            return int(next(line for line in lines if line.startswith(key)).split()[1])

    def test_it_is_ready_before_its_weights_were_read(self):
        size = self.forget_cached()
        with box.Daemon(self.config("320MiB")) as daemon:
            self.assertEqual(daemon.post("/api/generate", {"model": "large"}).status, 200)  # loads it
            read = self.of_worker(daemon, "io", "read_bytes")
            resident = self.of_worker(daemon, "status", "RssFile") * 1024
            self.assertGreater(size, 300 * MiB)
            self.assertLess(read, size // 3)  # 48 MiB of it measure the disk
            self.assertLess(resident, size // 3)

    def test_without_a_weight_cache_libllama_streams_it_from_the_model_file(self):
        with tempfile.TemporaryDirectory(prefix="skep-box-nocache-") as folder:
            path = pathlib.Path(folder) / "large.gguf"
            path.symlink_to(self.path)
            (pathlib.Path(folder) / ".skep").write_text("where the folder of the cache would be")
            with box.Daemon(self.config("340MiB").replace(str(self.path), str(path))) as daemon:
                answer = daemon.chat("large", "Count the pumps.", max_tokens=3)
                self.assertEqual(answer.status, 200, answer.body)
                model = daemon.usage()["engines"]["models"][0]
                self.assertIn("libllama: the weights don't fit into memory and can't be mapped", model["forward"])
                self.assertGreater(model["streamed"]["weight_bytes"], 320 * MiB)
                self.assertLess(sum(box.pss(worker) for worker in daemon.workers()), 340 * MiB)

    def test_contexts_that_do_not_fit_are_refused_as_before(self):
        config = self.config("640MiB").replace("context: 256, slots: 1", "context: 2048, slots: 4")
        with box.Daemon(config) as daemon:
            refused = daemon.chat("large", "Count.", max_tokens=2)
            self.assertEqual(refused.status, 507, refused.body)
            self.assertIn("engines.context", refused.body.decode())

    def test_a_pinned_model_stays_beside_it(self):
        config = self.config("400MiB") + f"  small: {{path: {box.model('tiny-wide', 'q8_0')}, pin: true}}\n"
        with box.Daemon(config) as daemon:
            self.assertEqual(daemon.chat("small", "Count.", max_tokens=2).status, 200)
            self.assertEqual(daemon.chat("large", "Count.", max_tokens=2).status, 200)
            models = {m["model"]: m["state"] for m in daemon.usage()["engines"]["models"]}
            self.assertEqual(models, {"small": "ready", "large": "ready"})

    def test_it_runs_in_a_control_group_smaller_than_it(self):
        with control_group(360 * MiB) as (processes, killed), box.Daemon(self.config("300MiB")) as daemon:
            processes.write_text(str(daemon.process.pid))  # its workers inherit it
            answer = daemon.chat("large", "Count the pumps.", max_tokens=3)
            self.assertEqual(answer.status, 200, answer.body)
            self.assertFalse(killed())

    def test_it_runs_with_less_heap_than_weights(self):
        before = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (300 * MiB, before[1]))  # the daemon and its workers inherit it
        try:
            with box.Daemon(self.config("300MiB")) as daemon:
                answer = daemon.chat("large", "Count the pumps.", max_tokens=3)
                self.assertEqual(answer.status, 200, answer.body)
                # By the same way as without the limit: nothing asked for more than it uses.
                self.assertNotIn("libllama", daemon.usage()["engines"]["models"][0]["forward"])
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, before)


if __name__ == "__main__":
    unittest.main()
