"""What agents have read and said is not computed twice: not after a crash, a restart or a swap, and not for making way
(R3, R5)."""
import os
import pathlib
import shutil
import signal
import tempfile
import threading
import time
import unittest

import box

SYSTEM = "You watch the pumps of the north warehouse and report every reading that is above its limit. " * 12


def conversation(*turns):
    messages = [{"role": "system", "content": SYSTEM}]
    for i, text in enumerate(turns):
        messages.append({"role": "assistant" if i % 2 else "user", "content": text})
    return messages


def cached(answer):
    return answer.json["usage"]["prompt_tokens_details"]["cached_tokens"]


class ParkingTest(unittest.TestCase):
    def setUp(self):
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="skep-box-state-"))
        self.config = (f"memory: {{budget: 2GiB}}\nengines: {{context: 1024, slots: 2}}\n"
                       f"models: {{one: {{path: {box.model('smollm-135m', 'q4_0')}}}}}\n")

    def tearDown(self):
        shutil.rmtree(self.state, ignore_errors=True)

    def ask(self, daemon, *turns):
        body = {"model": "one", "messages": conversation(*turns), "max_tokens": 12, "temperature": 0, "ignore_eos": True}
        answer = daemon.post("/v1/chat/completions", body)
        self.assertEqual(answer.status, 200, answer.body)
        return answer

    def wait_until_parked(self, daemon):
        """Nothing more goes to disk."""
        seen = [0, 0]

        def settled():
            now = daemon.metric("skep_engine_parked_disk_bytes", model="one")
            seen[1] = seen[1] + 1 if now == seen[0] and now > 0 else 0
            seen[0] = now
            time.sleep(0.2)
            return seen[1] >= 8

        box.wait_until(settled, 20, "parking")

    def test_a_conversation_goes_on_from_disk_after_the_worker_and_then_the_daemon_was_killed(self):
        daemon = box.Daemon(self.config, state=self.state)
        try:
            first = self.ask(daemon, "Which pump is it?")
            said = first.json["choices"][0]["message"]["content"]
            read = first.json["usage"]["prompt_tokens"]
            self.assertEqual(cached(first), 0)
            self.wait_until_parked(daemon)
            for worker in daemon.workers():
                os.kill(worker, signal.SIGKILL)
            second = self.ask(daemon, "Which pump is it?", said, "And the next one?")
            self.assertGreaterEqual(cached(second), read - 8, "from disk, by another worker")
            self.wait_until_parked(daemon)
        finally:
            daemon.kill()
        daemon = box.Daemon(self.config, state=self.state)
        try:
            third = self.ask(daemon, "Which pump is it?", said, "And the next one?")
            self.assertGreaterEqual(cached(third), second.json["usage"]["prompt_tokens"] - 8, "by another daemon")
            self.assertEqual(third.json["choices"][0]["message"]["content"],
                             second.json["choices"][0]["message"]["content"])
        finally:
            daemon.stop()

    def test_what_is_parked_is_readable_by_its_owner_only(self):
        with box.Daemon(self.config, state=self.state) as daemon:
            self.ask(daemon, "Which pump is it?")
            self.wait_until_parked(daemon)
        folders = list((self.state / "parked").iterdir())
        self.assertEqual(len(folders), 1)
        self.assertEqual(folders[0].stat().st_mode & 0o077, 0)
        self.assertTrue(list(folders[0].glob("*.kv")))

    def test_damaged_files_are_evaluated_again(self):
        with box.Daemon(self.config, state=self.state) as daemon:
            said = self.ask(daemon, "Which pump is it?").json["choices"][0]["message"]["content"]
            self.wait_until_parked(daemon)
        for file in (self.state / "parked").glob("*/*.kv"):
            damaged = bytearray(file.read_bytes())
            damaged[-5] ^= 1
            file.write_bytes(damaged)
        with box.Daemon(self.config, state=self.state) as daemon:
            again = self.ask(daemon, "Which pump is it?")
            self.assertEqual(cached(again), 0)
            self.assertEqual(again.json["choices"][0]["message"]["content"], said)


class Stream(threading.Thread):
    """One streamed answer in the background; `pieces` grows as they come."""

    def __init__(self, daemon, model, text, max_tokens, **more):
        super().__init__(daemon=True)
        self.arguments, self.more = (daemon, model, text, max_tokens), more
        self.pieces, self.error, self.ended = [], None, None
        self.start()

    def run(self):
        daemon, model, text, max_tokens = self.arguments
        try:
            for piece in daemon.stream(model, text, max_tokens, **self.more):
                self.pieces.append(piece)
        except Exception as error:  # noqa: BLE001: reported by whoever joins
            self.error = error
        self.ended = time.time()


class PreemptionTest(unittest.TestCase):
    def evaluated(self, daemon, model):
        """Prompt tokens that the model's worker has evaluated; by a heartbeat that is later than this call."""
        time.sleep(1.3)
        return daemon.metric("skep_engine_prompt_tokens_total", model=model)

    def test_a_critical_task_starts_at_once_and_its_victim_evaluates_nothing_again(self):
        with box.Daemon(f"memory: {{budget: 2GiB}}\nengines: {{context: 1024, slots: 2}}\n"
                        f"models: {{one: {{path: {box.model('smollm-135m', 'q4_0')}}}}}\n") as daemon:
            self.assertEqual(daemon.chat("one", SYSTEM, max_tokens=2).status, 200)
            # As many as there are slots: nobody else reads a prompt meanwhile.
            streams = [Stream(daemon, "one", f"Background work {i}.", 900, priority="background") for i in range(2)]
            box.wait_until(lambda: sum(len(s.pieces) > 5 for s in streams) == 2, what="two streams")
            before = self.evaluated(daemon, "one")
            began = time.time()
            critical = daemon.chat("one", "What now?", max_tokens=4, priority="critical")
            took = time.time() - began
            self.assertEqual(critical.status, 200)
            self.assertEqual([s.ended for s in streams], [None] * 2, "every slot still generates")
            self.assertEqual(daemon.metric("skep_preemptions_total", how="parked"), 1)
            self.assertLess(took, 3)
            after = self.evaluated(daemon, "one")
            usage = critical.json["usage"]
            new = usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"]
            self.assertEqual(daemon.metric("skep_engine_preemptions_total", model="one"), 1)
            self.assertEqual(after - before, new, "the victim evaluated nothing again")
            for stream in streams:
                stream.join(120)
                self.assertIsNone(stream.error)

    def test_a_critical_task_of_another_model_swaps_at_once_and_the_victim_goes_on_from_disk(self):
        model = box.model("smollm-135m", "q4_0")
        other = model.with_name("other-" + model.name)
        if not other.exists():
            shutil.copy(model, other)
        common = (f"engines: {{context: 1024, slots: 2, park_memory: 32MiB}}\nmodels:\n  one: {{path: {model}}}\n  two: {{path: {other}}}\n")
        tale, length = SYSTEM + "Tell a long story.", 600
        with box.Daemon("memory: {budget: 4GiB}\n" + common) as probe:
            # By another daemon: what was said once is drafted, and the victim would be done before anybody comes.
            whole = "".join(probe.stream("one", tale, length))
            ledger = {e["what"]: e["reserved_bytes"] for e in probe.usage()["memory"]["ledger"]}
        engine = next(v for k, v in ledger.items() if "one" in k)
        budget = ledger["daemon"] + int(1.5 * engine)
        with box.Daemon(f"memory: {{budget: {budget}}}\n" + common) as daemon:
            self.assertEqual(daemon.chat("one", tale, max_tokens=1).status, 200)
            before = self.evaluated(daemon, "one")
            victim = Stream(daemon, "one", tale, length, priority="background")
            box.wait_until(lambda: len(victim.pieces) > 20, what="the victim's stream")
            critical = daemon.chat("two", "What now?", max_tokens=4, priority="critical")
            self.assertEqual(critical.status, 200, critical.body)
            self.assertIsNone(victim.ended, "it was answered before the victim's end")
            self.assertEqual(daemon.metric("skep_preemptions_total", how="stopped"), 1)
            victim.join(60)
            self.assertIsNone(victim.error)
            text = "".join(victim.pieces)
            self.assertEqual(text, whole, "the swap does not show in the answer")
            self.assertLessEqual(self.evaluated(daemon, "one") - before, 8, "restored, not evaluated again")


if __name__ == "__main__":
    unittest.main()
