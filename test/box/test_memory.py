"""What agents remember survives the daemon's death, and what they forget is in no file."""
import random
import threading
import time
import unittest

import box


class MemoryTest(unittest.TestCase):
    def setUp(self):
        self.daemon = box.Daemon(f"memory: {{budget: 1GiB}}\nmodels:\n  embed: {{path: {box.model('tiny-embed')}}}\n")

    def tearDown(self):
        self.daemon.stop()

    def kill_and_start(self):
        self.daemon.kill()
        self.daemon.start()

    def facts(self):
        texts, after = set(), 0
        while True:
            page = self.daemon.get(f"/api/memory/facts?limit=500&after={after}").json
            texts.update(fact["text"] for fact in page["facts"])
            if "next" not in page:
                return texts
            after = page["next"]

    def test_a_killed_daemon_loses_no_fact_block_or_value_that_it_acknowledged(self):
        acknowledged = set()
        for life in range(4):
            counted = 0

            def write(life=life):
                nonlocal counted
                try:
                    for i in range(10_000):
                        text = f"life {life} saw number {i}"
                        if self.daemon.post("/api/agents/ann/memory", {"text": text}).status == 200:
                            acknowledged.add(text)
                        if self.daemon.request("PUT", f"/api/memory/values/life{life}", {"add": 1}).status == 200:
                            counted += 1
                except OSError:
                    pass  # it was killed

            writer = threading.Thread(target=write)
            writer.start()
            time.sleep(random.uniform(0.3, 1.5))
            self.kill_and_start()
            writer.join()
            there = self.facts()
            self.assertEqual(acknowledged - there, set())
            value = int(self.daemon.get(f"/api/memory/values/life{life}").json["value"])
            self.assertIn(value, (counted, counted + 1))
        self.assertGreater(len(acknowledged), 20)
        self.assertEqual(self.daemon.get("/api/memory").json["problems"], [])
        hits = self.daemon.post("/api/memory/search", {"query": "life 3 saw number 5", "agent": "ann"}).json["hits"]
        self.assertTrue(hits)

    def test_everything_about_an_agent_can_be_forgotten(self):
        for i in range(30):
            self.daemon.post("/api/agents/mallory-quux/memory", {"text": f"zanzibarish secret {i}", "tags": ["clandestine"]})
            self.daemon.post("/api/agents/ann/memory", {"text": f"harmless remark {i}"})

        def on_disk(word):
            return [f for f in (self.daemon.folder / "state" / "memory").iterdir() if word in f.read_bytes()]

        time.sleep(0.3)
        self.assertTrue(on_disk(b"zanzibarish"))
        self.assertEqual(self.daemon.request("DELETE", "/api/agents/mallory-quux/memory").json["forgotten"], 30)
        for word in (b"zanzibar", b"mallory-quux", b"clandestine"):
            self.assertEqual(on_disk(word), [])
        self.kill_and_start()
        for word in (b"zanzibar", b"mallory-quux", b"clandestine"):
            self.assertEqual(on_disk(word), [])
        self.assertEqual(len(self.facts()), 30)
