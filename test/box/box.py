"""A daemon under test: started on a free port with its own folder, asked over HTTP, looked at through /proc."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

build = pathlib.Path(os.environ["SKEP_BUILD"])
root = pathlib.Path(__file__).resolve().parents[2]
skep = str(build / "skep")

_models = pathlib.Path(tempfile.gettempdir()) / f"skep-box-models-{os.getuid()}"


def model(shape="tiny", type="f16", name=None):
    """A GGUF with random weights, made once."""
    _models.mkdir(exist_ok=True)
    path = _models / f"{name or shape}-{type}.gguf"
    if not path.exists():
        subprocess.run([skep, "model", "synth", "--shape", shape, "--type", type, "-o", str(path)], check=True, stdout=subprocess.DEVNULL)
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def pss(pid, kind="Pss"):
    """Bytes of a process as the kernel shares them out; 0 when it is gone."""
    try:
        for line in open(f"/proc/{pid}/smaps_rollup"):
            if line.startswith(kind + ":"):
                return int(line.split()[1]) * 1024
    except (OSError, ProcessLookupError):
        pass
    return 0


def children(pid):
    try:
        return [int(c) for c in open(f"/proc/{pid}/task/{pid}/children").read().split()]
    except OSError:
        return []


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Daemon:
    def __init__(self, config, arguments=(), environment=None, state=None, cache=False):
        """`state`: a state folder that outlives this daemon. `cache`: whether answers may come from the response cache."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="skep-box-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        text = (
            f"listen: 127.0.0.1:{self.port}\nstate_folder: {state or self.folder / 'state'}\n"
            f"cache: {{enabled: {str(cache).lower()}}}\n{config}"
        )
        (self.folder / "skep.yaml").write_text(text)
        self.log = open(self.folder / "log", "w")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("SKEP_")}
        self.environment.update(environment or {})
        self.arguments = arguments
        self.start()

    def start(self):
        """Also again, after kill(): the same configuration and folder."""
        if self.log.closed:
            self.log = open(self.folder / "log", "a")
        self.process = subprocess.Popen([skep, "serve", "--config", str(self.folder / "skep.yaml"), *self.arguments],
                                        stdout=self.log, stderr=self.log, cwd=self.folder, env=self.environment)
        for _ in range(1000):
            if self.process.poll() is not None:
                raise RuntimeError("the daemon ended at once:\n" + self.output())
            try:
                if self.get("/readyz").status == 200:
                    return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("the daemon was not ready in 20 s:\n" + self.output())

    def output(self):
        return (self.folder / "log").read_text()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = None
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return code

    def kill(self):
        """kill -9; the workers follow."""
        workers = self.workers()
        self.process.kill()
        self.process.wait()
        wait_until(lambda: all(pss(w) == 0 for w in workers), what="the end of the workers")
        self.log.close()

    def command(self, *arguments, expect=0):
        """What `skep ARGUMENTS` prints about this daemon."""
        done = subprocess.run([skep, *arguments, "--url", self.url], capture_output=True, text=True, timeout=120,
                              env=self.environment)
        assert done.returncode == expect, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def metric(self, name, **labels):
        """A value of /metrics; 0 where the series is not there."""
        for line in self.get("/metrics").body.decode().splitlines():
            if line.startswith((name + "{", name + " ")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def request(self, method, path, body=None, timeout=60, headers=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def get(self, path):
        return self.request("GET", path, timeout=10)

    def post(self, path, body, **more):
        return self.request("POST", path, body, **more)

    def chat(self, model, text="Say something.", max_tokens=8, **more):
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens, "temperature": 0,
                "ignore_eos": True, **more}
        return self.post("/v1/chat/completions", body)

    def stream(self, model, text="Say something.", max_tokens=64, **more):
        """Yields the content deltas of a streamed chat completion; raises RuntimeError with the error of the stream."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens, "temperature": 0,
                "ignore_eos": True, "stream": True, **more}
        request = urllib.request.Request(self.url + "/v1/chat/completions", data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=60) as response:
            for line in response:
                line = line.decode().strip()
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                event = json.loads(line[6:])
                if "error" in event:
                    raise RuntimeError(event["error"]["message"])
                for choice in event["choices"]:
                    if choice["delta"].get("content"):
                        yield choice["delta"]["content"]

    def usage(self):
        return self.get("/api/resources/usage").json

    def workers(self):
        return children(self.process.pid)

    def measured(self):
        return pss(self.process.pid) + sum(pss(c) for c in self.workers())

    def own_memory(self):
        """Without files, whose pages are shared with whoever else runs the same program just now."""
        return sum(pss(p, "Pss_Anon") for p in [self.process.pid, *self.workers()])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class MemoryWatch(threading.Thread):
    """The largest summed PSS of a daemon and its workers, looked at every 20 ms or so."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.daemon_under_test, self.most, self.stopped = daemon, 0, False
        self.start()

    def run(self):
        while not self.stopped:
            self.most = max(self.most, self.daemon_under_test.measured())
            time.sleep(0.02)

    def end(self):
        self.stopped = True
        self.join()
        return self.most


def wait_until(condition, seconds=15, what="it"):
    end = time.time() + seconds
    while time.time() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen in {seconds} s")
