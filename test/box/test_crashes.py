"""A worker that dies takes no task, no agent and no other model with it (R6)."""
import os
import signal
import threading
import time
import unittest

import box


class CrashTest(unittest.TestCase):
    def setUp(self):
        self.daemon = box.Daemon(
            "memory: {budget: 2GiB}\nengines: {hang_timeout: 3s}\nmodels:\n"
            f"  one: {{path: {box.model('smollm-135m', 'q4_0')}}}\n  two: {{path: {box.model('tiny')}}}\n"
            f"  broken: {{path: {self.broken_model()}}}\n")

    def tearDown(self):
        self.daemon.stop()

    @staticmethod
    def broken_model():
        # Metadata that reads well, tensors that aren't there: refused in the catalog or by the worker, never a crash.
        path = box._models / "cut.gguf"
        whole = box.model("tiny").read_bytes()
        path.write_bytes(whole[: len(whole) * 2 // 3])
        return path

    def worker_of(self, model):
        before = set(self.daemon.workers())
        self.assertEqual(self.daemon.chat(model, max_tokens=1).status, 200)
        new = set(self.daemon.workers()) - before
        self.assertEqual(len(new), 1)
        return new.pop()

    def test_a_killed_worker_is_replaced_and_the_stream_goes_on_without_a_repeat(self):
        worker = self.worker_of("one")
        whole = "".join(self.daemon.stream("one", max_tokens=96))
        pieces = []
        for piece in self.daemon.stream("one", max_tokens=96):
            pieces.append(piece)
            if len(pieces) == 10:
                os.kill(worker, signal.SIGKILL)
        # Our own forward pass gives the same bits however a context came about.
        self.assertEqual("".join(pieces), whole)
        self.assertNotIn(worker, self.daemon.workers())

    def test_a_killed_worker_leaves_the_other_model_at_work(self):
        worker = self.worker_of("one")
        other = self.worker_of("two")
        failed = []

        def ask():
            for _ in range(20):
                if self.daemon.chat("two", max_tokens=16).status != 200:
                    failed.append(1)

        thread = threading.Thread(target=ask)
        thread.start()
        os.kill(worker, signal.SIGKILL)
        thread.join()
        self.assertEqual(failed, [])
        self.assertIn(other, self.daemon.workers())
        self.assertEqual(self.daemon.chat("one", max_tokens=2).status, 200)

    def test_a_hung_worker_is_ended_and_its_task_answered(self):
        worker = self.worker_of("one")
        os.kill(worker, signal.SIGSTOP)
        began = time.time()
        answer = self.daemon.chat("one", max_tokens=4)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertLess(time.time() - began, 30)
        self.assertNotIn(worker, self.daemon.workers())

    def test_a_model_that_cannot_load_is_a_clear_error_and_nothing_else_suffers(self):
        answer = self.daemon.chat("broken")
        self.assertGreaterEqual(answer.status, 400)
        self.assertIn("message", answer.json["error"])
        self.assertEqual(self.daemon.chat("two", max_tokens=2).status, 200)

    def kill_while_it_loads(self, times):
        """Asks for a model that isn't loaded, and kills so many workers before they are ready; the answer."""
        answer, killed = [], set()
        asking = threading.Thread(target=lambda: answer.append(self.daemon.chat("one", max_tokens=2)))
        asking.start()
        while asking.is_alive():
            for worker in set(self.daemon.workers()) - killed:
                if len(killed) < times:
                    killed.add(worker)
                    os.kill(worker, signal.SIGKILL)
        asking.join()
        self.assertEqual(len(killed), times)
        return answer[0]

    def test_a_worker_that_dies_while_it_loads_is_tried_again(self):
        self.assertEqual(self.kill_while_it_loads(1).status, 200)

    def test_one_that_dies_at_every_load_is_a_clear_error(self):
        answer = self.kill_while_it_loads(2)
        self.assertEqual(answer.status, 503, answer.body)
        self.assertIn("one", answer.json["error"]["message"])
        self.assertEqual(self.daemon.chat("two", max_tokens=1).status, 200)
        self.assertEqual(self.daemon.chat("one", max_tokens=1).status, 200)

    def test_killed_again_and_again_ends_in_a_clear_error_not_in_a_loop(self):
        self.worker_of("one")
        stop = threading.Event()

        def killer():
            while not stop.is_set():
                for child in self.daemon.workers():
                    os.kill(child, signal.SIGKILL)
                time.sleep(0.05)

        thread = threading.Thread(target=killer)
        thread.start()
        try:
            answer = self.daemon.chat("one", max_tokens=64)
        finally:
            stop.set()
            thread.join()
        self.assertEqual(answer.status, 503, answer.body)
        self.assertIn("SIGKILL", answer.json["error"]["message"])
        box.wait_until(lambda: self.daemon.chat("one", max_tokens=2).status == 200, 90, "recovery")


if __name__ == "__main__":
    unittest.main()
