"""Mixed work without a pause: nothing may leak. 20 s here; scripts/soak runs the same for as long as it is told to."""
import os
import unittest

import box
import soak


class SoakTest(unittest.TestCase):
    def test_memory_is_flat_under_mixed_work(self):
        seconds = float(os.environ.get("SKEP_SOAK_SECONDS", "20"))
        with box.Daemon(soak.config()) as daemon:
            report = soak.run(daemon, seconds)
        self.assertGreater(report.answered, 20, report)
        self.assertEqual(report.unexpected, [], report)
        # In so short a time caches still fill; a leak of a few KiB per request would show all the same.
        allowed = 0.01 if seconds >= 600 else 0.05
        self.assertLess(report.growth, allowed, report)


if __name__ == "__main__":
    unittest.main()
