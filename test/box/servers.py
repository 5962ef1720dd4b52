"""Real Redis and PostgreSQL servers for a test: their own folders and ports, killed and started again at will."""
import glob
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

import box


class Redis:
    """None of it is written to disk: what a killed server had is gone, as with a cache."""

    program = shutil.which("redis-server")

    def __init__(self):
        self.port = box.free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                                         "--appendonly", "no"], stdout=subprocess.DEVNULL, cwd=tempfile.gettempdir())
        box.wait_until(lambda: box.listens(self.port), what="Redis")

    def kill(self):
        self.process.kill()
        self.process.wait()

    stop = kill

    def ask(self, *command):
        """One command's answer as redis-cli prints it: a line each, in clear."""
        done = subprocess.run(["redis-cli", "-p", str(self.port), "--raw", *command], capture_output=True, check=True)
        return done.stdout.decode(errors="replace")

    def keys_with(self, word):
        """Keys that have the word, whatever its case, in their names or in what they hold."""
        read = {"string": ("GET",), "list": ("LRANGE", "0", "-1"), "zset": ("ZRANGE", "0", "-1")}
        found = []
        for key in self.ask("KEYS", "*").splitlines():
            command, *rest = read[self.ask("TYPE", key).strip()]
            if word.lower() in (key + self.ask(command, key, *rest)).lower():
                found.append(key)
        return found


def _postgres_programs():
    """With pgvector: from scripts/setup --test, or the system's."""
    for top in (box.root / ".deps/pgvector", pathlib.Path("/")):
        for control in glob.glob(str(top / "usr/share/postgresql/*/extension/vector.control")):
            bin = top / "usr/lib/postgresql" / pathlib.Path(control).parts[-3] / "bin"
            if (bin / "postgres").exists():
                return bin
    return None


class Postgres:
    bin = _postgres_programs()

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="skep-box-postgres-"))
        self.port = box.free_port()
        self.url = f"postgresql://skep@127.0.0.1:{self.port}/postgres"
        self.as_user = {}
        if os.getuid() == 0:  # the server refuses to be root
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self.as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self.log = open(self.folder / "log", "w")
        subprocess.run([self.bin / "initdb", "-D", self.folder / "data", "-U", "skep", "-A", "trust", "--no-sync", "-E",
                        "UTF8", "--locale", "C"], check=True, stdout=self.log, stderr=self.log, cwd=self.folder, **self.as_user)
        self.start()

    def start(self):
        def up():
            # The children of a killed server notice late, and a new one ends at once before that.
            if self.process is None or self.process.poll() is not None:
                self.process = subprocess.Popen(
                    [self.bin / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-c",
                     "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}"],
                    stdout=self.log, stderr=self.log, cwd=self.folder, env={**os.environ, "LC_ALL": "C"}, **self.as_user)
            return box.listens(self.port)

        self.process = None
        box.wait_until(up, 60, "PostgreSQL")

    def tables_with(self, word):
        """Tables, the planner's statistics among them, that have the word, whatever its case."""
        def ask(sql):
            return subprocess.run(["psql", "-At", "-d", self.url, "-c", sql], capture_output=True, check=True,
                                  text=True, env={**os.environ, "LC_ALL": "C"}).stdout.splitlines()

        names = ask("SELECT oid::regclass FROM pg_class WHERE relkind IN ('r', 'm')")
        return [name for name in names if ask(f"SELECT 1 FROM {name} AS t WHERE t::text ILIKE '%{word}%' LIMIT 1")]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.kill()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
