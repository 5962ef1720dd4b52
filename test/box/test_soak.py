"""Mixed work without a pause: nothing may leak. 20 s here; scripts/soak runs the same for as long as it is told to."""
import os
import unittest

import box
import soak


class SoakTest(unittest.TestCase):
    def test_memory_is_flat_under_mixed_work(self):
        seconds = float(os.environ.get("SKEP_SOAK_SECONDS", "20"))
        with box.Daemon(soak.config()) as daemon:
            soak.run(daemon, 60, seed=2, enough=6000)  # what fills up by use is full
            report = soak.run(daemon, seconds)
        self.assertGreater(report.answered, 20, report)
        self.assertEqual(report.unexpected, [], report)
        # So short a time shows a leak of some hundred bytes per request.
        allowed = 0.01 if seconds >= 600 else 0.05
        self.assertLess(report.growth, allowed, report)


if __name__ == "__main__":
    unittest.main()
