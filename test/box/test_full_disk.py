"""A full disk (D4): what must be remembered is refused with words that help, what stands is served on, also by a daemon
that starts on it; writing goes on by itself when there is room, and nothing that was acknowledged is lost."""
import os
import random
import subprocess
import unittest

import box
from test_state import StateCase, make_config


class FullDiskTest(StateCase):
    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "skep-box", str(self.disk)], capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest("a small disk can't be mounted here: " + mounted.stderr.strip())
        self.daemon.stop()
        self.daemon = box.Daemon(make_config(self.folder), state=self.disk / "skep")
        # The daemon ends before its disk does.
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.disk)], check=True)
        self.addCleanup(lambda: self.daemon.stop())
        self.random = random.Random(7)
        self.acknowledged = {}

    def fill(self):
        with open(self.disk / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(65536))
            except OSError:
                pass

    def put(self, key, size):
        value = self.random.randbytes(size // 2).hex()
        answer = self.daemon.request("PUT", f"/api/memory/values/{key}", {"value": value})
        if answer.status == 200:
            self.acknowledged[key] = value
        return answer

    def fill_and_write_until_refused(self):
        self.fill()
        for i in range(400):
            answer = self.put(f"value{i}", 200_000)
            if answer.status != 200:
                return answer
        self.fail("80 MB went onto a disk of 40")

    def check_refusal(self, answer):
        self.assertEqual(answer.status, 503, answer.body)
        text = answer.body.decode()
        self.assertIn(str(self.disk), text, "the place")
        self.assertRegex(text, "No space left|the disk is full")
        self.assertRegex(text, "free some space|make room", "the way out")
        self.assertIn("Retry-After", answer.headers)

    def check_reads(self):
        for key, value in self.acknowledged.items():
            self.assertEqual(self.daemon.get(f"/api/memory/values/{key}").json["value"], value, key)
        heard = self.messages("ann")["messages"]
        self.assertEqual(heard[0]["content"], "Remember the number 17.")
        self.assertEqual(len(heard), 2)
        self.assertIn("seventeen", self.daemon.get("/api/agents/ann/memory").body.decode())

    def problems(self):
        answer = self.daemon.get("/readyz")
        self.assertEqual(answer.status, 200)
        return answer.json.get("problems", [])

    def check_refusing(self):
        answer = box.wait_until(lambda: (a := self.say("ann", "And now?")).status != 200 and a, what="a refusal")
        self.check_refusal(answer)
        box.wait_until(lambda: any(p.startswith("state: ") for p in self.problems()), what="the report")
        self.assertEqual(self.daemon.metric("skep_state_refusing"), 1)
        self.assertEqual(self.daemon.chat("one").status, 200, "what needs no memory is answered")

    def test_new_work_is_refused_reads_go_on_and_nothing_is_lost(self):
        self.assertEqual(self.say("ann", "Remember the number 17.").status, 200)
        self.assertEqual(self.daemon.post("/api/agents/ann/memory", {"text": "the number is seventeen"}).status, 200)
        self.assertEqual(self.problems(), [])
        self.check_refusal(self.fill_and_write_until_refused())
        self.assertGreater(len(self.acknowledged), 4)
        self.check_refusing()
        self.check_reads()

        self.daemon.kill()
        self.fill()
        self.daemon.start()
        self.check_reads()
        for i in range(400):  # the journals may have room again
            if self.put(f"later{i}", 200_000).status != 200:
                break
        self.check_refusing()
        self.check_reads()

        os.remove(self.disk / "ballast")
        box.wait_until(lambda: self.put("after", 1000).status == 200, what="room")
        box.wait_until(lambda: self.problems() == [], what="the end of the trouble")
        self.check_reads()
        self.assertEqual(self.say("ann", "And now?").status, 200)
        self.daemon.kill()
        self.daemon.start()
        for key, value in self.acknowledged.items():
            self.assertEqual(self.daemon.get(f"/api/memory/values/{key}").json["value"], value, key)
        self.assertEqual(len(self.messages("ann")["messages"]), 4)


if __name__ == "__main__":
    unittest.main()
