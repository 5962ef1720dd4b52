"""Beside busy processes a worker adapts, and says what it changed, when and why (R7)."""
import os
import subprocess
import sys
import threading
import time
import unittest

import box


def changes(daemon):
    """Of the settings of the worker, as /api/performance/metrics tells them."""
    engines = daemon.get("/api/performance/metrics").json["engines"]
    return [change for engine in engines for change in engine["changes"]]


def may_come_back():
    """Whether a process that made itself nicer may take that back: root's right, where nobody took it from root."""
    code = "import os; n = os.nice(0); os.nice(1); os.setpriority(os.PRIO_PROCESS, 0, n)"
    return subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


def waiting_is_known():
    """Whether the kernel tells how long threads wait for a core; a sandbox may not."""
    try:
        with open("/proc/self/schedstat") as file:
            return int(file.read().split()[0]) > 0
    except (OSError, ValueError, IndexError):
        return False


def cpu_seconds(processes):
    total = 0
    for process in processes:
        with open(f"/proc/{process}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


class CeilingTest(unittest.TestCase):
    def test_what_skep_uses_stays_under_the_ceiling(self):
        cores, limit = len(os.sched_getaffinity(0)), 0.3
        with box.Daemon(f"memory: {{budget: 2GiB}}\nengines: {{context: 2048, slots: 2, cpu_limit: {limit}}}\n"
                        f"models: {{one: {{path: {box.model('smollm-135m', 'q4_0')}}}}}\n") as daemon:
            self.assertEqual(daemon.chat("one", max_tokens=2).status, 200)
            stream = threading.Thread(target=lambda: list(daemon.stream("one", "Tell a long story.", 250)))
            stream.start()
            try:
                time.sleep(2)
                processes = [daemon.process.pid, *daemon.workers()]
                before, began = cpu_seconds(processes), time.time()
                time.sleep(5)
                busy = (cpu_seconds(processes) - before) / (time.time() - began)
            finally:
                stream.join()
            self.assertLessEqual(busy, 1.1 * limit * cores)
            self.assertGreater(busy, 0)
            box.wait_until(lambda: daemon.metric("skep_engine_cpu_rested_seconds_total", model="one") > 0, 5, "the metric")
            self.assertAlmostEqual(daemon.metric("skep_engine_cpu_allowed_cores", model="one"), limit * cores, delta=0.1)


@unittest.skipUnless(waiting_is_known(), "this kernel doesn't say how long threads wait")
class GoodNeighbourTest(unittest.TestCase):
    def beside_busy_processes(self, forward, setting):
        model = box.model("smollm-135m", "q4_0")
        spinners = []
        with box.Daemon(f"memory: {{budget: 2GiB}}\nengines: {{context: 2048, slots: 2, forward: {forward}}}\n"
                        f"models: {{one: {{path: {model}}}}}\n") as daemon:
            self.assertEqual(daemon.chat("one", max_tokens=2).status, 200)
            over = threading.Event()

            def work():
                while not over.is_set():
                    for _ in daemon.stream("one", "Tell a long story.", 1500, priority="background"):
                        if over.is_set():
                            break

            threads = [threading.Thread(target=work) for _ in range(2)]
            try:
                # One for each core.
                spinners = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
                            for _ in range(len(os.sched_getaffinity(0)))]
                for thread in threads:
                    thread.start()
                began = time.time()
                change = box.wait_until(lambda: [c for c in changes(daemon) if c["setting"] == setting], 45,
                                        f"a change of {setting}")[0]
            finally:
                over.set()
                for spinner in spinners:
                    spinner.kill()
                    spinner.wait()
                for thread in threads:
                    thread.join()
            self.assertTrue(change["why"])
            self.assertTrue(change["to"])
            box.wait_until(lambda: daemon.metric("skep_engine_policy_changes_total", model="one") >= 1, 5, "the metric")
            when = daemon.metric("skep_engine_policy_changed_timestamp_seconds", model="one", setting=setting)
            self.assertGreater(when, began - 5)
            self.assertLess(when, time.time() + 5)

    @unittest.skipUnless(may_come_back(), "a process may not raise its priority again here")
    def test_background_work_on_our_own_forward_pass_steps_back(self):
        self.beside_busy_processes("native", "niceness")

    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "one core")
    def test_libllamas_steps_run_on_fewer_threads(self):
        self.beside_busy_processes("llama", "threads")


if __name__ == "__main__":
    unittest.main()
