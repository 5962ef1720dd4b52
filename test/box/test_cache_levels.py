"""The cache's levels below memory as a user meets them: answers in the event log's database, shared by daemons on one
PostgreSQL, and what a dead or hung server costs (M7)."""
import os
import signal
import time
import unittest

import box
import servers


def config():
    return (f"memory: {{budget: 1GiB}}\nengines: {{context: 512, slots: 2}}\nmodels: {{one: {{path: {box.model('tiny')}}}}}\n"
            "events: {store: sqlite}\n")


def postgres_config():
    return config().replace("{store: sqlite}", "{store: postgresql, url_env: BOX_POSTGRES}")


def ask(daemon, text="How hot may pump 4 be?", **more):
    body = {"model": "one", "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 8,
            "ignore_eos": True, **more}
    answer = daemon.post("/v1/chat/completions", body)
    assert answer.status == 200, answer.body
    return answer


def level(daemon, name):
    return next(one for one in daemon.get("/api/cache").json["levels"] if one["name"] == name)


def said(answer):
    return answer.json["choices"][0]["message"]["content"]


class SqliteTest(unittest.TestCase):
    def test_the_event_logs_file_has_answers_when_nothing_else_has(self):
        with box.Daemon(config(), cache=True, environment={"SKEP_CACHE_THIRD": "events", "SKEP_CACHE_DISK": "0"}) as daemon:
            first = ask(daemon)
            self.assertEqual(first.headers["X-Skep-Cache"], "miss")
            box.wait_until(lambda: level(daemon, "database")["written"] == 1, what="the answer in the database")
            daemon.kill()
            daemon.start()
            second = ask(daemon)
            self.assertRegex(second.headers["X-Skep-Cache"], r"^hit; level=database; age=\d+$")
            self.assertEqual(said(second), said(first))
            self.assertEqual(daemon.workers(), [], "no model had to be loaded")
            self.assertEqual(daemon.metric("skep_cache_level_hits_total", level="database"), 1)
            self.assertEqual(daemon.metric("skep_cache_hits_total", level="database"), 1)
            self.assertIn("1 from database", daemon.command("cache", "show"))
            daemon.command("cache", "clear", "model:one")
            daemon.kill()
            daemon.start()
            self.assertEqual(ask(daemon).headers["X-Skep-Cache"], "miss")

    def test_a_database_without_an_event_log_is_refused_at_the_start(self):
        with self.assertRaisesRegex(RuntimeError, "events.store is off"):
            box.Daemon(config().replace("sqlite", "off"), cache=True, environment={"SKEP_CACHE_THIRD": "events"})


@unittest.skipUnless(servers.Postgres.bin, "no PostgreSQL with pgvector: scripts/setup --test fetches it")
class PostgresTest(unittest.TestCase):
    def setUp(self):
        self.postgres = servers.Postgres()
        self.addCleanup(self.postgres.stop)
        self.environment = {"BOX_POSTGRES": self.postgres.url, "SKEP_CACHE_THIRD": "events"}

    def daemon(self):
        daemon = box.Daemon(postgres_config(), cache=True, environment=self.environment)
        self.addCleanup(daemon.stop)
        box.wait_until(lambda: self.ready(daemon), what="the database")
        return daemon

    @staticmethod
    def ready(daemon):
        """What it keeps goes to the database: it has heard of what others invalidated."""
        ask(daemon, f"ready? {time.monotonic()}")
        return level(daemon, "database")["written"] > 0

    def test_daemons_on_one_server_share_answers_and_invalidations(self):
        one, two = self.daemon(), self.daemon()
        written = level(one, "database")["written"]
        first = ask(one, cache={"tags": ["catalogue"]})
        box.wait_until(lambda: level(one, "database")["written"] > written, what="the answer in the database")
        second = ask(two, cache={"tags": ["catalogue"]})
        self.assertRegex(second.headers["X-Skep-Cache"], "^hit; level=database")
        self.assertEqual(said(second), said(first))
        self.assertRegex(ask(two).headers["X-Skep-Cache"], "^hit; level=memory")
        one.command("cache", "clear", "catalogue")
        box.wait_until(lambda: ask(two).headers["X-Skep-Cache"] == "miss", 10, "the other daemon's hearing of it")
        # A daemon that was down meanwhile has it on its disk, and hears of it when it comes back.
        ask(two, "And pump 5?", cache={"tags": ["pumps"]})
        box.wait_until(lambda: level(two, "database")["waiting_bytes"] == 0, what="writing")
        two.kill()
        one.command("cache", "clear", "pumps")
        two.start()
        box.wait_until(lambda: self.ready(two), what="the database")
        self.assertEqual(ask(two, "And pump 5?", cache={"tags": ["pumps"]}).headers["X-Skep-Cache"], "miss")

    def test_a_dead_server_costs_nothing_and_a_hung_one_a_moment(self):
        daemon = self.daemon()
        first = ask(daemon)
        self.postgres.kill()
        self.assertRegex(ask(daemon).headers["X-Skep-Cache"], "^hit; level=memory")
        self.assertEqual(ask(daemon, "Another?").headers["X-Skep-Cache"], "miss", "serving goes on")
        cleared = daemon.request("DELETE", "/api/cache?tag=model:one")
        self.assertEqual(cleared.status, 503, "the other daemons have not heard of it")
        self.assertEqual(ask(daemon).headers["X-Skep-Cache"], "miss", "here it holds")
        box.wait_until(lambda: "trouble" in level(daemon, "database"), what="its word of it")
        self.postgres.start()
        before = level(daemon, "database")["written"]
        box.wait_until(lambda: ask(daemon, f"back? {time.monotonic()}") and level(daemon, "database")["written"] > before,
                       60, "the answers that waited")

        os.kill(self.postgres.process.pid, signal.SIGSTOP)
        children = [int(line.split()[0]) for line in os.popen(f"pgrep -P {self.postgres.process.pid}").readlines()]
        for child in children:
            os.kill(child, signal.SIGSTOP)
        try:
            ask(daemon, "warm")  # the model is loaded
            slowest = 0
            for i in range(20):
                began = time.monotonic()
                self.assertEqual(ask(daemon, f"Hung {i}?", max_tokens=1).headers["X-Skep-Cache"], "miss")
                slowest = max(slowest, time.monotonic() - began)
            self.assertLess(slowest, 2, "none waited for the server, which stands still for longer than that")
        finally:
            for child in [self.postgres.process.pid, *children]:
                try:
                    os.kill(child, signal.SIGCONT)
                except ProcessLookupError:
                    pass
        box.wait_until(lambda: self.ready(daemon) and "trouble" not in level(daemon, "database"), 60, "its return")
        self.assertEqual(said(ask(daemon)), said(first))

    def test_a_dead_server_hears_of_an_invalidation_from_the_next_daemon(self):
        daemon = self.daemon()
        ask(daemon, cache={"tags": ["pumps"]})
        box.wait_until(lambda: level(daemon, "database")["waiting_bytes"] == 0, what="writing")
        self.postgres.kill()
        cleared = daemon.request("DELETE", "/api/cache?tag=pumps")
        self.assertEqual(cleared.status, 503)
        self.assertIn("after a restart too", cleared.body.decode())
        daemon.kill()
        self.postgres.start()
        daemon.start()
        self.assertEqual(ask(daemon, cache={"tags": ["pumps"]}).headers["X-Skep-Cache"], "miss")
        box.wait_until(lambda: self.ready(daemon), what="the database")


@unittest.skipUnless(servers.Redis.program, "no redis-server: scripts/setup --test installs it")
class RedisTest(unittest.TestCase):
    def test_answers_are_on_the_server_and_its_death_stops_nothing(self):
        redis = servers.Redis()
        self.addCleanup(redis.stop)
        environment = {"SKEP_CACHE_SECOND": "redis", "SKEP_CACHE_REDIS": redis.url}
        with box.Daemon(config(), cache=True, environment=environment) as daemon:
            first = ask(daemon)
            box.wait_until(lambda: level(daemon, "redis")["written"] == 1, what="the answer on the server")
            daemon.kill()
            daemon.start()
            second = ask(daemon)
            self.assertRegex(second.headers["X-Skep-Cache"], r"^hit; level=redis; age=\d+$")
            self.assertEqual(said(second), said(first))
            redis.kill()
            self.assertEqual(ask(daemon, "Another?").headers["X-Skep-Cache"], "miss", "serving goes on")
            self.assertEqual(daemon.request("DELETE", "/api/cache?tag=model:one").status, 503)
            self.assertEqual(ask(daemon).headers["X-Skep-Cache"], "miss", "here it holds")
            redis.start()
            box.wait_until(lambda: ask(daemon, f"back? {time.monotonic()}") and level(daemon, "redis")["written"] > 0, 60,
                           "the answers that waited")


if __name__ == "__main__":
    unittest.main()
