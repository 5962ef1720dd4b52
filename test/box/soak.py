"""Mixed work for a daemon under test: chats, streams, streams that are hung up, critical tasks, structured answers,
deadlines, wrong requests; and what its processes' memory does meanwhile."""
import dataclasses
import random
import statistics
import threading
import time

import box

WORKERS = 6
SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}, "n": {"type": "integer", "minimum": 0, "maximum": 9}},
          "required": ["ok", "n"], "additionalProperties": False}


def config():
    """What may fill up is small, so that it is full before memory is looked at."""
    return ("memory: {budget: 1GiB}\nengines: {context: 512, slots: 3, park_memory: 2MiB, park_disk: 4MiB}\n"
            f"models: {{one: {{path: {box.model('tiny')}}}}}\n")


@dataclasses.dataclass
class Report:
    answered: int = 0
    hung_up: int = 0
    unexpected: list = dataclasses.field(default_factory=list)
    early: float = 0  # bytes, median of the second quarter
    late: float = 0   # … of the last quarter

    @property
    def growth(self):
        return self.late / self.early - 1


def _one(daemon, random_, report, lock):
    kind = random_.randrange(8)
    text = " ".join(random_.choice("pump valve door line four report status unit".split()) for _ in range(random_.randrange(1, 60)))
    more = {"priority": random_.choice(["critical", "high", "normal", "background"]), "temperature": random_.choice([0, 0.8])}
    if kind == 0:
        stream = daemon.stream("one", text, 100, **more)
        for _ in range(random_.randrange(1, 8)):
            next(stream, None)
        stream.close()  # in the middle of an answer
        with lock:
            report.hung_up += 1
        return
    if kind == 1:
        list(daemon.stream("one", text, random_.randrange(1, 60), **more))
        expected = status = 200
    elif kind == 2:
        status, expected = daemon.chat("one", text, max_tokens=0).status, 400
    elif kind == 3:
        status, expected = daemon.chat("nobody", text).status, 404
    elif kind == 4:
        answer = daemon.chat("one", text, max_tokens=40, ignore_eos=False,
                             response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}})
        status, expected = answer.status, 200
    elif kind == 5:
        status = daemon.chat("one", text, max_tokens=200, deadline_ms=random_.randrange(1, 400)).status
        expected = status if status in (200, 504) else "200 or 504"
    else:
        status, expected = daemon.chat("one", text, max_tokens=random_.randrange(1, 40), **more).status, 200
    with lock:
        report.answered += 1
        if status != expected:
            report.unexpected.append((kind, status, expected))


def run(daemon, seconds, seed=1, progress=None, enough=float("inf")):
    """Works for so long, or until so many are answered; the Report."""
    report, lock, stop = Report(), threading.Lock(), time.time() + seconds

    def work(number):
        random_ = random.Random(seed * 1000 + number)
        while time.time() < stop and report.answered < enough:
            try:
                _one(daemon, random_, report, lock)
            except Exception as error:  # noqa: BLE001: whatever it is, it is the result
                with lock:
                    report.unexpected.append(repr(error))

    began = time.time()
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(WORKERS)]
    for thread in threads:
        thread.start()
    samples = []
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.25)
        samples.append(((time.time() - began) / seconds, daemon.own_memory()))
        if progress:
            progress(samples[-1], report)
    end = samples[-1][0]
    report.early = statistics.median(m for at, m in samples if at >= end / 4 and at < end / 2)
    report.late = statistics.median(m for at, m in samples if at >= 3 * end / 4)
    return report
