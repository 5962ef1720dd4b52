"""What agents were told survives the daemon's death, sleep, backups and a move to another box; answers come from the
cache as they were; the log tells what happened (R5, M4, M7, D3, D4)."""
import http.client
import json
import pathlib
import shutil
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import box

ROSTER = """preamble: You are one of two specialists.
agents:
  - {name: ann, title: Ann, tier: fast, task_types: [general], system_prompt: You greet.}
  - {name: bob, title: Bob, tier: fast, task_types: [code], system_prompt: You write code.}
"""


def make_config(folder, more="", context=512):
    (folder / "roster.yaml").write_text(ROSTER)
    return (f"memory: {{budget: 1GiB}}\nroster: {folder / 'roster.yaml'}\nengines: {{context: {context}, slots: 4}}\n"
            f"models: {{one: {{path: {box.model('tiny')}}}}}\ntiers:\n  fast: {{models: [one]}}\n"
            f"  balanced: {{models: [one]}}\n  deep: {{models: [one]}}\n{more}")


class StateCase(unittest.TestCase):
    more, cache, context, environment = "", False, 512, {}

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="skep-box-state-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.daemon = box.Daemon(make_config(self.folder, self.more, self.context), cache=self.cache,
                                 environment=self.environment)
        self.addCleanup(lambda: self.daemon.stop())

    def kill_and_start(self):
        self.daemon.kill()
        self.daemon.start()

    def say(self, agent, text, conversation="talk", **more):
        body = {"input": text, "conversation": conversation, "max_tokens": 4, "temperature": 0, **more}
        return self.daemon.post(f"/api/agents/{agent}/messages", body)

    def messages(self, agent, conversation="talk", daemon=None):
        return (daemon or self.daemon).get(f"/api/agents/{agent}/messages?conversation={conversation}&limit=10000").json

    def exported(self, agent):
        return self.daemon.get(f"/api/agents/{agent}/state").body


class SleepTest(StateCase):
    more = "sleep: {after: 1s}\n"

    def test_what_is_parked_of_an_agent_is_known_after_a_restart_and_goes_when_it_is_forgotten(self):
        def parked():
            memory = self.messages("ann")
            self.assertEqual(memory["parked_bytes"], sum(f["bytes"] for f in memory["parked"]))
            return memory["parked"]

        asked = self.say("ann", "Which pump is it, and what does it pump?").json["usage"]["prompt_tokens"]
        self.say("bob", "What do you write?")
        box.wait_until(lambda: parked(), 30, "what is parked when she sleeps")
        self.kill_and_start()
        files = parked()
        self.assertGreaterEqual(max(f["begin"] + f["tokens"] for f in files), asked - 1)
        folder = self.daemon.folder / "state/parked"
        paths = [folder / f["model_hash"] / f["file"] for f in files]
        for path, file in zip(paths, files):
            self.assertGreater(path.stat().st_size, file["bytes"])
        shown = self.daemon.command("agent", "show", "ann")
        self.assertRegex(shown, f"context parked: .* in {len(files)} files")

        # A file that is not what was noted is not shown, and nobody goes by it.
        damaged = bytearray(paths[0].read_bytes())
        damaged[40] ^= 1
        paths[0].write_bytes(damaged)
        self.assertEqual(len(parked()), len(files) - 1)
        self.assertEqual(self.say("ann", "And now?").status, 200)
        box.wait_until(lambda: self.daemon.metric("skep_parked_read_ahead_files_total"), 10, "read ahead when she woke")
        box.wait_until(lambda: parked(), 30, "what is parked when she sleeps again")

        bobs = self.messages("bob")["parked"]
        self.assertTrue(bobs)
        self.daemon.command("agent", "forget", "ann", "--all")
        self.assertEqual(parked(), [])
        self.assertTrue(all(not path.exists() for path in paths))
        self.assertEqual(self.messages("bob")["parked"], bobs, "another's contexts stay")

    def test_a_sleeping_agent_wakes_as_it_was_after_its_daemon_was_killed(self):
        asked = [self.say("ann", f"The code word number {i} is zebra-{i * i}.").json for i in range(5)]
        before = self.exported("ann")
        box.wait_until(lambda: self.messages("ann")["phase"] == "asleep", what="sleep")
        self.assertEqual(self.exported("ann"), before, "sleeping changes nothing")
        self.kill_and_start()
        self.assertEqual(self.messages("ann")["phase"], "asleep")
        self.assertEqual(self.exported("ann"), before, "bit for bit")
        later = self.say("ann", "Which was the first code word?").json
        self.assertGreater(later["usage"]["prompt_tokens"], asked[-1]["usage"]["prompt_tokens"], "it sees what was said")
        heard = [m["content"] for m in self.messages("ann")["messages"]]
        self.assertEqual(heard[0], "The code word number 0 is zebra-0.")
        self.assertEqual(len(heard), 12)
        box.wait_until(lambda: self.messages("ann")["phase"] == "asleep", what="sleep")

        def kinds():  # a crash may take the log's last moments, and the log is written a moment later
            log = json.loads(self.daemon.command("log", "--kind", "agent", "--agent", "ann", "--json"))["events"]
            return {event["kind"] for event in log}
        self.assertEqual(self.say("ann", "Too long. " * 400, max_tokens=1).status, 413)
        box.wait_until(lambda: kinds() >= {"agent.woke", "agent.slept"}, what="the log")
        failed = json.loads(self.daemon.command("log", "--kind", "task.failed", "--agent", "ann", "--json"))["events"]
        self.assertEqual(len(failed), 1)


class KilledTest(StateCase):
    def test_what_was_answered_is_remembered_and_nothing_is_half_said(self):
        answered = {"ann": [], "bob": []}
        for life in range(4):
            def talk(agent, life=life):
                try:
                    for i in range(10_000):
                        answer = self.say(agent, f"life {life} message {i}", conversation=f"talk{life}")
                        if answer.status == 200:
                            answered[agent].append((life, f"life {life} message {i}", answer.json["message"]["content"]))
                except (OSError, http.client.HTTPException):
                    pass  # it was killed

            talkers = [threading.Thread(target=talk, args=(agent,)) for agent in answered]
            for talker in talkers:
                talker.start()
            time.sleep(1.0 + 0.37 * life)
            self.kill_and_start()
            for talker in talkers:
                talker.join()
            for agent, said in answered.items():
                there = self.messages(agent, f"talk{life}")["messages"]
                self.assertEqual([m["role"] for m in there], ["user", "assistant"] * (len(there) // 2), "pairs, whole")
                pairs = [(u["content"], a["content"]) for u, a in zip(there[::2], there[1::2])]
                mine = [(text, answer) for when, text, answer in said if when == life]
                self.assertEqual(pairs[:len(mine)], mine)
                self.assertLessEqual(len(pairs), len(mine) + 1, "at most one whose answer nobody heard")
        self.assertGreater(len(answered["ann"]), 8)

    def test_letters_are_answered_once_after_a_crash(self):
        for i in range(6):
            accepted = self.say("bob", f"Letter {i}.", conversation="mail", wait=False)  # of at most 4 tokens
            self.assertEqual(accepted.status, 202)
        self.kill_and_start()
        box.wait_until(lambda: not self.messages("bob", "mail")["mailbox"], 30, "the answers")
        heard = self.messages("bob", "mail")["messages"]
        self.assertEqual([m["content"] for m in heard[::2]], [f"Letter {i}." for i in range(6)])
        self.assertEqual([m["role"] for m in heard], ["user", "assistant"] * 6)


class DamagedTest(StateCase):
    def test_a_damaged_page_sets_apart_who_is_on_it_and_nobody_else(self):
        for i in range(60):
            self.assertEqual(self.say("ann", f"This is conversation {i}.", conversation=f"c{i:02}").status, 200)
        self.assertEqual(self.say("bob", "Remember the number 17.").status, 200)
        before = self.exported("bob")
        time.sleep(0.5)  # until it is in the file, not only in a journal
        self.daemon.kill()
        file = self.daemon.folder / "state/state/state.mdb"
        data, page, damaged = bytearray(file.read_bytes()), 4096, 0
        for at in range(2 * page, len(data), page):
            one = bytes(data[at : at + page])
            if one[10] == 2 and b"talk\0ann\0" in one and b"bob\0" not in one:
                data[at : at + page] = b"\x5a" * page
                damaged += 1
        self.assertGreater(damaged, 0)
        file.write_bytes(data)
        self.daemon.start()
        self.assertIn("the state store is damaged", self.daemon.output())
        self.assertTrue((file.parent / "state.mdb.damaged-1").exists())
        phases = {agent["name"]: agent["phase"] for agent in self.daemon.get("/api/agents").json["agents"]}
        self.assertEqual(phases, {"ann": "quarantined", "bob": "asleep"})
        self.assertEqual(self.exported("bob"), before)
        self.assertEqual(self.say("bob", "Still there?").status, 200)
        refused = self.say("ann", "And you?")
        self.assertEqual(refused.status, 500)
        self.assertIn("damaged page", refused.body.decode())
        self.daemon.command("agent", "forget", "ann", "--all")
        self.assertEqual(self.say("ann", "Who are you?").status, 200)
        self.kill_and_start()
        self.assertEqual(len(self.messages("ann")["messages"]), 2)
        self.assertEqual(self.daemon.output().count("the state store is damaged"), 1)


class MoveTest(StateCase):
    def test_a_backup_of_a_running_daemon_can_be_put_back(self):
        self.say("ann", "Before the backup.")
        before = self.exported("ann")
        copy = self.folder / "copy.mdb"
        self.daemon.command("backup", str(copy))
        self.say("ann", "After the backup.")
        self.assertNotEqual(self.exported("ann"), before)
        self.daemon.kill()
        config = str(self.daemon.folder / "skep.yaml")
        done = box.subprocess.run([box.skep, "state", "check", str(copy)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        done = box.subprocess.run([box.skep, "state", "restore", str(copy), "--config", config], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.daemon.start()
        self.assertEqual(self.exported("ann"), before)

    def test_an_agent_moves_to_another_daemon(self):
        for i in range(3):
            self.say("ann", f"Remember {i}.")
        self.daemon.command("agent", "export", "ann", str(self.folder / "ann"))
        with box.Daemon(make_config(self.folder)) as other:
            other.command("agent", "import", "ann", str(self.folder / "ann"))
            self.assertEqual(self.messages("ann", daemon=other)["messages"], self.messages("ann")["messages"])
            self.assertEqual(other.get("/api/agents/ann/state").body, self.exported("ann"))
            broken = self.exported("ann").replace(b"ann", b"bob", 1)
            self.assertEqual(other.request("PUT", "/api/agents/bob/state", None).status, 400, "an empty file")
            request = urllib.request.Request(other.url + "/api/agents/bob/state", data=broken, method="PUT")
            with self.assertRaises(urllib.error.HTTPError):
                urllib.request.urlopen(request)
            self.assertEqual(self.messages("bob", daemon=other)["messages"], [], "all or nothing")

    def test_an_agent_forgets_everything_it_was_told(self):
        self.say("ann", "My name is Rumpelstilzchen.")
        self.daemon.post("/api/agents/ann/memory", {"text": "Rumpelstilzchen spins straw"})
        self.daemon.command("agent", "forget", "ann", "--all")
        self.assertEqual(self.messages("ann")["conversations"], [])
        self.assertEqual(self.daemon.get("/api/agents/ann/memory").json["facts"], [])
        self.kill_and_start()
        self.assertEqual(self.messages("ann")["conversations"], [])

    def test_a_second_daemon_on_the_same_state_serves_and_says_that_it_remembers_nothing(self):
        with box.Daemon(make_config(self.folder), state=self.daemon.folder / "state") as second:
            self.assertEqual(second.chat("one").status, 200)
            self.assertIn("remembers nothing", second.output())
            self.assertEqual(second.get("/api/agents/ann/messages").status, 400)
        self.assertEqual(self.say("ann", "Still here?").status, 200)


class DurableTest(StateCase):
    more = "state: {durable: always}\n"

    def test_what_was_answered_is_there_after_a_crash_and_many_are_answered_at_once(self):
        answers = {}

        def talk(number):
            answers[number] = [self.say("ann", f"Number {i}.", conversation=f"talk-{number}").status for i in range(3)]

        threads = [threading.Thread(target=talk, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, {n: [200] * 3 for n in range(4)})
        sent = self.say("bob", "A letter.", conversation="mail", wait=False)
        self.assertEqual(sent.status, 202)
        before = self.exported("ann")
        self.kill_and_start()
        self.assertEqual(self.exported("ann"), before)
        self.assertEqual(len(self.messages("ann", "talk-3")["messages"]), 6)
        box.wait_until(lambda: len(self.messages("bob", "mail")["messages"]) == 2, 30, "the letter's answer")


class CacheTest(StateCase):
    cache = True

    def ask(self, headers=None, **more):
        body = {"model": "one", "messages": [{"role": "user", "content": "How hot may pump 4 be?"}], "temperature": 0,
                "max_tokens": 24, "ignore_eos": True, **more}
        return self.daemon.post("/v1/chat/completions", body, headers=headers)

    def events(self, **more):
        answer = self.ask(stream=True, **more)
        lines = [line for line in answer.body.decode().split("\n") if line.startswith("data: ")]
        self.assertEqual(lines[-1], "data: [DONE]")
        return answer, [json.loads(line[6:]) for line in lines[:-1]]

    def test_the_second_time_the_same_answer_comes_from_memory_and_after_a_crash_from_disk(self):
        first = self.ask()
        self.assertEqual(first.headers["X-Skep-Cache"], "miss")
        second = self.ask()
        self.assertRegex(second.headers["X-Skep-Cache"], r"^hit; level=memory; age=\d+$")
        self.assertEqual(second.json["choices"], first.json["choices"])
        time.sleep(1.1)
        self.kill_and_start()
        third = self.ask()
        self.assertRegex(third.headers["X-Skep-Cache"], r"^hit; level=disk; age=[1-9]\d*$")
        self.assertEqual(third.json["choices"], first.json["choices"])
        self.assertEqual(self.daemon.workers(), [], "no model had to be loaded")
        self.assertRegex(self.ask().headers["X-Skep-Cache"], "level=memory")
        fresh = self.ask(headers={"Cache-Control": "no-cache"})
        self.assertEqual(fresh.headers["X-Skep-Cache"], "miss")
        self.assertEqual(fresh.json["choices"], first.json["choices"])
        self.assertIn("hit rate", self.daemon.command("cache", "show"))
        self.assertGreater(self.daemon.metric("skep_cache_hits_total", level="memory"), 0)
        self.assertGreater(self.daemon.metric("skep_cache_hit_ratio"), 0)
        log = json.loads(self.daemon.command("log", "--kind", "answer.cached", "--json"))["events"]
        self.assertEqual({event["detail"] for event in log}, {"memory", "disk"})

    def test_a_stream_from_the_cache_is_a_stream_of_the_same_events(self):
        live, fresh = self.events()
        self.assertEqual(live.headers["X-Skep-Cache"], "miss")
        kept, again = self.events()
        self.assertRegex(kept.headers["X-Skep-Cache"], r"^hit; level=memory")
        self.assertEqual(kept.headers["Content-Type"], live.headers["Content-Type"])

        def text(events):
            return "".join(c["delta"].get("content") or "" for e in events for c in e["choices"])

        self.assertEqual(text(again), text(fresh))
        self.assertEqual(self.ask().json["choices"][0]["message"]["content"], text(fresh))
        self.assertGreater(sum(bool(c["delta"].get("content")) for e in again for c in e["choices"]), 1, "in pieces")
        self.assertEqual(set(again[0]), set(fresh[0]))
        self.assertEqual(again[0]["choices"][0]["delta"].get("role"), fresh[0]["choices"][0]["delta"].get("role"))
        self.assertEqual(again[-1]["choices"][0]["finish_reason"], fresh[-1]["choices"][0]["finish_reason"])

    def test_invalidation_by_tag_holds_after_a_crash(self):
        self.ask(cache={"tags": ["catalogue"]})
        self.daemon.command("cache", "clear", "catalogue")
        self.kill_and_start()
        self.assertEqual(self.ask().headers["X-Skep-Cache"], "miss")

    def test_many_who_ask_the_same_at_once_share_one_generation(self):
        answers = []
        asking = [threading.Thread(target=lambda: answers.append(self.ask(max_tokens=200))) for _ in range(12)]
        for one in asking:
            one.start()
        for one in asking:
            one.join()
        self.assertEqual(len({answer.json["choices"][0]["message"]["content"] for answer in answers}), 1)
        self.assertEqual(self.daemon.get("/api/cache").json["misses"], 1)


class SimilarTest(StateCase):
    """An agent with `cache: similar`, and the trained embedding model that comes with skep."""
    cache = True

    def setUp(self):
        super().setUp()
        self.daemon.stop()
        config = make_config(self.folder).replace("models: {", f"models: {{embed: {{path: {box.root / 'models/embed.gguf'}}}, ")
        (self.folder / "roster.yaml").write_text(ROSTER.replace("{name: ann,", "{name: ann, cache: similar,"))
        self.daemon = box.Daemon(config, cache=True)

    def ask(self, text, agent="ann"):  # sampled: whoever opts in wants these, too
        answer = self.daemon.post("/v1/chat/completions", {
            "model": agent, "messages": [{"role": "user", "content": text}], "max_tokens": 8, "ignore_eos": True})
        self.assertEqual(answer.status, 200, answer.body)
        return answer.headers["X-Skep-Cache"], answer.json["choices"][0]["message"]["content"]

    def test_questions_that_mean_the_same_are_answered_once_and_others_are_not(self):
        notes, answers = [], set()
        for calls in range(1, 30):  # until the embedding model is there
            note, said = self.ask("How many kilograms of copper are in the store of Anna" + calls * "!")
            notes.append(note)
            if note.startswith("hit; level=similar"):
                break
            answers.add(said)
            time.sleep(0.3)
        self.assertEqual(notes[0], "miss")
        self.assertRegex(notes[-1], r"^hit; level=similar; age=\d+$")
        self.assertIn(said, answers, "an answer that was given before")
        for other in ("How many kilograms of copper are in the store of Berta?", "How many grams of copper are in the store of Anna?",
                      "How many kilograms of copper are not in the store of Anna?"):
            self.assertEqual(self.ask(other)[0], "miss", other)
        self.assertGreater(self.daemon.get("/api/cache").json["similar"], 0)
        self.assertNotIn("similar", self.ask("how many kilograms of copper are in the store of Anna???", agent="bob")[0] or "")


class LongConversationTest(StateCase):
    context = 2048

    def test_500_turns_fit_a_window_of_2048_tokens_and_the_beginning_can_be_recalled(self):
        self.say("ann", "The key to the cellar is under the blue flowerpot.", max_tokens=2)
        most = 0
        for i in range(249):
            answer = self.say("ann", f"Turn {i}: the reading of pump {i % 7} is {i * 13 % 101} degrees, all is quiet.", max_tokens=8)
            self.assertEqual(answer.status, 200, answer.body)
            most = max(most, answer.json["usage"]["prompt_tokens"])
        self.assertEqual(len(self.messages("ann")["messages"]), 500, "nothing is lost from the conversation itself")
        self.assertLessEqual(most, 2048)
        self.assertGreater(most, 1024, "the window is used")
        hits = self.daemon.post("/api/memory/search", {"query": "Where is the key to the cellar?", "agent": "ann"}).json["hits"]
        self.assertTrue(any("blue flowerpot" in hit["text"] for hit in hits), hits)
        # What was put aside goes with the conversation.
        self.assertEqual(self.daemon.request("DELETE", "/api/agents/ann/messages?conversation=talk").status, 204)
        self.assertEqual(self.daemon.get("/api/agents/ann/memory").json["facts"], [])


class CompressTest(StateCase):
    TEXT = ("Could you please kindly tell me, very briefly, in order to help us, what the `--flag  x` of 3.5 kg at "
            "https://example.org/a?b=1 does, and \"why  so\"? The pump is a pump that pumps water as pumps do. ")

    def test_shorter_prompts_keep_code_numbers_quotes_and_urls(self):
        file = self.folder / "prompt.txt"
        file.write_text(self.TEXT * 4)
        short = self.daemon.command("compress", str(file))
        self.assertLess(len(short), len(self.TEXT * 4))
        half = self.daemon.command("compress", str(file), "--ratio", "0.5", "--model", "one")
        self.assertLess(len(half), len(short))
        for text in (short, half):
            for kept in ("`--flag  x`", "3.5", "https://example.org/a?b=1", '"why  so"'):
                self.assertEqual(text.count(kept), 4, (kept, text))
        explained = self.daemon.command("compress", str(file), "--ratio", "0.5", "--model", "one", "--explain")
        self.assertIn("[-", explained)
