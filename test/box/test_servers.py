"""Memory on Redis, facts and the log on PostgreSQL: the same over HTTP, and what a server's death costs."""
import json
import pathlib
import shutil
import tempfile
import time
import unittest

import box
import servers
import test_state


def config(more):
    return (f"memory: {{budget: 1GiB}}\nengines: {{context: 512, slots: 2}}\n"
            f"models:\n  one: {{path: {box.model('tiny')}}}\n  embed: {{path: {box.model('tiny-embed')}}}\n{more}")


@unittest.skipUnless(servers.Redis.program, "no redis-server: scripts/setup --test installs it")
class RedisTest(unittest.TestCase):
    def test_values_live_on_the_server_and_come_back_with_it(self):
        redis = servers.Redis()
        self.addCleanup(redis.stop)
        with box.Daemon(config(f"short_term: {{store: redis, redis: '{redis.url}'}}\n")) as daemon:
            path = "/api/agents/ann/memory/values/"

            def put(key, body):
                return daemon.request("PUT", path + key, body)

            self.assertEqual([put("count", {"add": 2}).json["value"] for _ in range(3)], [2, 4, 6])
            self.assertEqual([put("list", {"push": c, "most": 2}).json["length"] for c in "abc"], [1, 2, 2])
            self.assertEqual(daemon.get(path + "list").json, {"items": ["b", "c"]})
            put("brief", {"value": "x", "ttl": 1})
            self.assertEqual(daemon.get(path + "brief").json["value"], "x")
            time.sleep(1.2)
            self.assertEqual(daemon.get(path + "brief").status, 404)
            self.assertEqual(put("other", {"value": "y"}).status, 200)
            daemon.kill()
            daemon.start()
            self.assertEqual(daemon.get(path + "other").json["value"], "y", "another daemon finds it")

            redis.kill()
            self.assertEqual(put("count", {"add": 1}).status, 503)
            self.assertEqual(daemon.chat("one").status, 200, "serving goes on")
            self.assertEqual(daemon.post("/api/memory", {"text": "facts go on"}).status, 200)
            redis.start()
            box.wait_until(lambda: put("count", {"add": 1}).status == 200, what="a new connection")
            forgotten = daemon.request("DELETE", "/api/agents/ann/memory").json
            self.assertEqual(forgotten["values"], 1)


@unittest.skipUnless(servers.Postgres.bin, "no PostgreSQL with pgvector: scripts/setup --test fetches it")
class PostgresTest(unittest.TestCase):
    def test_facts_and_the_log_live_on_the_server_and_its_death_stops_nothing_else(self):
        postgres = servers.Postgres()
        self.addCleanup(postgres.stop)
        more = ("long_term: {store: postgresql, url_env: BOX_POSTGRES}\n"
                "events: {store: postgresql, url_env: BOX_POSTGRES}\n")
        with box.Daemon(config(more), environment={"BOX_POSTGRES": postgres.url}) as daemon:
            def search(question):
                hits = daemon.post("/api/memory/search", {"query": question, "agent": "ann"}).json["hits"]
                return [hit["text"] for hit in hits]

            def finished():
                return [e for e in daemon.get("/api/log?kind=task.finished&limit=1000").json["events"]]

            daemon.post("/api/agents/ann/memory", {"facts": [{"text": "The pump is painted green."}, {"text": "The door is locked."}]})
            self.assertEqual(search("Which colour is the pump painted?")[0], "The pump is painted green.")
            for _ in range(3):
                self.assertEqual(daemon.chat("one").status, 200)
            self.assertEqual(len(finished()), 3)
            self.assertEqual(daemon.get("/api/log?since=2020-01-01&until=2020-01-02").json["events"], [])

            postgres.kill()
            for _ in range(5):
                self.assertEqual(daemon.chat("one").status, 200, "serving goes on")
            self.assertEqual(daemon.get("/api/log").status, 503)
            self.assertEqual(daemon.post("/api/agents/ann/memory", {"text": "lost?"}).status, 503)
            postgres.start()
            box.wait_until(lambda: daemon.get("/api/log").status == 200 and len(finished()) == 8, 60, "the events that waited")
            self.assertEqual(search("Is the door locked?")[0], "The door is locked.")
            self.assertEqual(daemon.request("DELETE", "/api/agents/ann/memory").json["forgotten"], 2)

            daemon.kill()
            daemon.start()
            self.assertEqual(len(finished()), 8)
            self.assertEqual(json.loads(daemon.command("log", "--kind", "task", "--json"))["events"][0]["kind"], "task.finished")

    def test_a_variable_that_is_not_set_is_named_at_the_start(self):
        with self.assertRaisesRegex(RuntimeError, "events.url_env: BOX_NOWHERE is not set"):
            box.Daemon(config("events: {store: postgresql, url_env: BOX_NOWHERE}\n"))


WORD = "Rumpelstilzchen"


@unittest.skipUnless(servers.Redis.program and servers.Postgres.bin, "no Redis or no PostgreSQL with pgvector")
class ForgettingTest(unittest.TestCase):
    def test_a_forgotten_agent_is_nowhere_in_the_servers_data(self):
        redis, postgres = servers.Redis(), servers.Postgres()
        self.addCleanup(redis.stop)
        self.addCleanup(postgres.stop)
        folder = pathlib.Path(tempfile.mkdtemp(prefix="skep-box-servers-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        more = (f"short_term: {{store: redis, redis: '{redis.url}'}}\n"
                "long_term: {store: postgresql, url_env: BOX_POSTGRES}\n"
                "events: {store: postgresql, url_env: BOX_POSTGRES}\n")
        with box.Daemon(test_state.make_config(folder, more), environment={"BOX_POSTGRES": postgres.url}) as daemon:
            for agent, word in (("ann", WORD), ("bob", "Schneewittchen")):
                where = f"/api/agents/{agent}/memory"
                for i in range(3):
                    self.assertEqual(daemon.post(where, {"text": f"{word} spins straw {i}", "tags": [word.lower()]}).status, 200)
                for kind in ("blocks", "values"):
                    self.assertEqual(daemon.request("PUT", f"{where}/{kind}/note", {"value": f"{word} was here"}).status, 200)
                said = daemon.post(f"/api/agents/{agent}/messages", {"input": f"I am {word}.", "max_tokens": 2})
                self.assertEqual(said.status, 200, said.body)
            box.wait_until(lambda: daemon.get("/api/log?agent=ann").json["events"], what="the log")
            self.assertTrue(redis.keys_with(WORD))
            self.assertIn("skep_facts", postgres.tables_with(WORD))
            daemon.command("agent", "forget", "ann", "--all")
            self.assertEqual(redis.keys_with(WORD), [])
            self.assertEqual(redis.keys_with("agent/ann"), [])
            self.assertEqual(postgres.tables_with(WORD), [])
            self.assertEqual(daemon.get("/api/log?agent=ann").json["events"], [])
            self.assertTrue(redis.keys_with("Schneewittchen"))
            self.assertIn("skep_facts", postgres.tables_with("Schneewittchen"))


if __name__ == "__main__":
    unittest.main()
