"""A deadline that can't be met is answered early, through the API, instead of being found missed (R3)."""
import time
import unittest

import box


class DeadlineTest(unittest.TestCase):
    def test_a_hopeless_deadline_is_refused_before_it_passes(self):
        with box.Daemon(f"memory: {{budget: 2GiB}}\nengines: {{context: 1024, slots: 1}}\n"
                        f"models: {{one: {{path: {box.model('smollm-135m', 'q4_0')}}}}}\n") as daemon:
            for i in range(3):  # so that it is known what an answer of this length takes
                began = time.time()
                self.assertEqual(daemon.chat("one", f"Tell me {i}.", max_tokens=200).status, 200)
            usual = time.time() - began
            began = time.time()
            deadline = usual / 4
            answer = daemon.chat("one", "Tell me more.", max_tokens=200, deadline_ms=int(1000 * deadline))
            took = time.time() - began
            self.assertEqual(answer.status, 504, answer.body)
            self.assertIn("can't be met", answer.json["error"]["message"])
            self.assertLess(took, deadline, "the client may ask elsewhere in time")
            ample = daemon.chat("one", "Tell me more.", max_tokens=200, deadline_ms=int(20_000 * usual))
            self.assertEqual(ample.status, 200)

    def test_a_deadline_that_passes_ends_a_running_task(self):
        with box.Daemon(f"memory: {{budget: 2GiB}}\nengines: {{context: 2048, slots: 1}}\n"
                        f"models: {{one: {{path: {box.model('smollm-135m', 'q4_0')}}}}}\n") as daemon:
            self.assertEqual(daemon.chat("one", max_tokens=1).status, 200)
            began = time.time()
            answer = daemon.chat("one", "A long story.", max_tokens=1900, deadline_ms=700)
            self.assertEqual(answer.status, 504, answer.body)
            self.assertLess(time.time() - began, 3)
            self.assertEqual(daemon.chat("one", max_tokens=1).status, 200, "the slot is free again")


if __name__ == "__main__":
    unittest.main()
