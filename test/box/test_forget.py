"""Everything about an agent can be forgotten: afterwards no file under the state folder has a word of it, compressed or
not, and nothing that reads those files finds any (D2)."""
import unittest
import urllib.error
import urllib.request

import box
from test_state import StateCase, make_config

WORD = "Rumpelstilzchen"


class ForgetTest(StateCase):
    cache = True

    def state(self):
        return self.daemon.folder / "state"

    def files_with(self, word):
        files = [f for f in self.state().rglob("*") if f.is_file()]
        return sorted(str(f.relative_to(self.state())) for f in files if word.encode() in f.read_bytes())

    def ask(self, agent, text):
        body = {"model": agent, "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 8, "ignore_eos": True}
        answer = self.daemon.post("/v1/chat/completions", body)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.headers["X-Skep-Cache"]

    def tell(self, agent, word):
        for i in range(4):
            self.assertEqual(self.say(agent, f"My name is {word}, and the number is {i}.").status, 200)
        self.assertEqual(self.say(agent, f"A letter to {word}.", conversation="mail", wait=False).status, 202)
        where = f"/api/agents/{agent}/memory"
        self.assertEqual(self.daemon.post(where, {"text": f"{word} spins straw", "tags": [word.lower()]}).status, 200)
        for kind in ("blocks", "values"):
            answer = self.daemon.request("PUT", f"{where}/{kind}/note", {"value": f"{word} was here"})
            self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(self.ask(agent, f"Who is {word}?"), "miss")  # its prompt has the block
        self.assertRegex(self.ask(agent, f"Who is {word}?"), "^hit")
        box.wait_until(lambda: not self.messages(agent, "mail")["mailbox"], 30, "the letter's answer")

    def owners(self, parked):
        """Whose the parked files say they are (doc/parked.md)."""
        found = set()
        for file in parked.rglob("*.kv"):
            data, at = file.read_bytes(), 20
            for _ in ("identity", "scope"):
                at += 4 + int.from_bytes(data[at:at + 4], "little")
            found.add(data[at + 4:at + 4 + int.from_bytes(data[at:at + 4], "little")].decode())
        return found

    def log_of(self, agent):
        return self.daemon.get(f"/api/log?agent={agent}&limit=1000").json["events"]

    def check_gone(self, agent):
        there = self.messages(agent)
        self.assertEqual((there["conversations"], there["messages"], there["mailbox"]), ([], [], []))
        where = f"/api/agents/{agent}/memory"
        self.assertEqual(self.daemon.get(where).json["facts"], [])
        self.assertEqual(self.daemon.get(f"{where}/blocks").json["blocks"], [])
        self.assertEqual(self.daemon.get(f"{where}/values/note").status, 404)
        self.assertEqual(self.log_of(agent), [])

    def test_nothing_of_a_forgotten_agent_is_in_any_file(self):
        self.tell("ann", WORD)
        self.tell("bob", "Schneewittchen")
        parked = self.state() / "parked"
        box.wait_until(lambda: {"ann", "bob"} <= self.owners(parked), 30, "parked contexts")
        box.wait_until(lambda: self.log_of("ann"), what="the log")
        before = self.files_with(WORD)
        self.assertTrue(any(f.startswith("state/") for f in before), before)
        self.assertTrue(any(f.startswith("memory/") for f in before), before)

        self.daemon.command("agent", "forget", "ann", "--all")
        self.assertEqual(self.files_with(WORD), [])
        self.assertEqual(self.files_with(WORD.lower()), [])
        owners = self.owners(parked)
        self.assertNotIn("ann", owners, "what was said, as tokens")
        self.assertIn("bob", owners, "another's contexts are where they were")
        self.check_gone("ann")

        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.files_with(WORD), [])
        self.check_gone("ann")
        # Everybody else has what they had.
        self.assertEqual(len(self.messages("bob")["messages"]), 8)
        self.assertIn("Schneewittchen", self.daemon.get("/api/agents/bob/memory").body.decode())
        self.assertRegex(self.ask("bob", "Who is Schneewittchen?"), "^hit")
        self.assertTrue(self.log_of("bob"))
        self.assertEqual(self.ask("ann", f"Who is {WORD}?"), "miss")

    def test_what_was_exported_before_is_all_there_elsewhere(self):
        self.tell("ann", WORD)
        where = "/api/agents/ann/memory"
        for word in ("one", "two"):
            self.daemon.request("PUT", f"{where}/values/list", {"push": word, "most": 5})
        self.daemon.request("PUT", f"{where}/blocks/rule", {"value": "never lie", "read_only": True, "description": "law"})
        before = self.daemon.get("/api/agents/ann/state").body
        file = self.folder / "ann.skep"
        self.daemon.command("agent", "export", "ann", str(file))
        self.assertEqual(file.read_bytes(), before)
        self.daemon.command("agent", "forget", "ann", "--all")
        self.check_gone("ann")
        with box.Daemon(make_config(self.folder)) as other:
            other.post(where, {"text": "what was there before goes"})
            other.command("agent", "import", "ann", str(file))
            self.assertEqual(other.get("/api/agents/ann/state").body, before)
            self.assertIn(f"{WORD} spins straw", other.get(where).body.decode())
            self.assertEqual(other.get(f"{where}/values/note").json["value"], f"{WORD} was here")
            # Cut in its second half, it changes nothing.
            request = urllib.request.Request(other.url + "/api/agents/ann/state", data=before[:-30], method="PUT")
            with self.assertRaises(urllib.error.HTTPError):
                urllib.request.urlopen(request)
            self.assertEqual(other.get("/api/agents/ann/state").body, before)


class ForgetWithDatabaseTest(ForgetTest):
    """The same where answers are in the event log's database, too."""
    environment = {"SKEP_CACHE_THIRD": "events"}


if __name__ == "__main__":
    unittest.main()
