#!/usr/bin/env python3
"""Does a model that runs from the disk reach the rate that the API expects of it, where the disk is what bounds it?

The daemon runs in a control group (version 1) whose memory limit counts the page cache, too, and is smaller than the
weights; with --read-limit the group may read no more than that from the disk; with --forget the page cache keeps nothing
that nobody has mapped, as on a machine whose memory others need. Prints, for each budget, the disk's rate
as measured at load, the expected rate of tokens, and the measured one. Needs root.

    bench/model/streamed_rate.py BUILD_FOLDER [--read-limit MiB/s] [--memory MiB] [--budget MiB …] [--tokens N] [--forget]
"""
import argparse
import contextlib
import os
import pathlib
import sys
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("build", type=pathlib.Path)
parser.add_argument("--read-limit", type=int, default=0, help="MiB/s; 0: what the disk gives")
parser.add_argument("--memory", type=int, default=0, help="MiB of the control group; 0: 60 more than the budget")
parser.add_argument("--budget", type=int, nargs="+", default=[320, 400], help="MiB")
parser.add_argument("--tokens", type=int, default=8)
parser.add_argument("--forget", action="store_true")
args = parser.parse_args()
os.environ["SKEP_BUILD"] = str(args.build.resolve())
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "test/box"))
import box  # noqa: E402

MiB = 1 << 20
GROUPS = pathlib.Path("/sys/fs/cgroup")


@contextlib.contextmanager
def control_groups(memory, read_limit, file):
    """The files that take process ids."""
    made = []
    try:
        for controller in ["memory"] + ["blkio"] * (read_limit > 0):
            made.append(GROUPS / controller / f"skep-streamed-{os.getpid()}")
            made[-1].mkdir()
        (made[0] / "memory.limit_in_bytes").write_text(str(memory * MiB))
        if read_limit > 0:
            device = os.stat(file).st_dev
            limit = f"{os.major(device)}:{os.minor(device)} {read_limit * MiB}"
            (made[1] / "blkio.throttle.read_bps_device").write_text(limit)
        yield [group / "cgroup.procs" for group in made]
    finally:
        for group in made:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    group.rmdir()
                    break
                time.sleep(0.1)


def forget(*files):
    """The page cache gives them back, so that whoever reads them next is charged for them."""
    for path in files:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextlib.contextmanager
def forgetting(file):
    """While it lasts, the page cache gives back what is not mapped."""
    over = threading.Event()

    def forget_on():
        with open(file, "rb") as opened:
            while not over.wait(0.1):
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    thread = threading.Thread(target=forget_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def read_bytes(pid):
    with open(f"/proc/{pid}/io") as lines:
        return int(next(line for line in lines if line.startswith("read_bytes")).split()[1])


def measure(path, budget):
    cache = path.parent / ".skep" / (path.name + ".weights")
    config = (f"memory: {{budget: {budget}MiB}}\nengines: {{context: 256, slots: 1, batch: 64}}\n"
              f"models:\n  large: {{path: {path}}}\n")
    forget(path, cache)
    with control_groups(args.memory or budget + 60, args.read_limit, cache) as groups, box.Daemon(config) as daemon:
        for group in groups:
            group.write_text(str(daemon.process.pid))  # its workers inherit it
        daemon.chat("large", "Count.", max_tokens=1)  # loads it
        said = daemon.usage()["engines"]["models"][0]["streamed"]
        worker = daemon.workers()[0]
        before, began, arrived = read_bytes(worker), None, 0
        with forgetting(cache) if args.forget else contextlib.nullcontext():
            for _ in daemon.stream("large", "Count the pumps.", max_tokens=args.tokens):
                now = time.monotonic()
                began, arrived, last = began or now, arrived + 1, now
                if arrived == 1:
                    before = read_bytes(worker)
        read = read_bytes(worker) - before
        rate = (arrived - 1) / (last - began)
        print(f"{budget} MiB budget, {said['resident_bytes'] / MiB:.0f} of {said['weight_bytes'] / MiB:.0f} MiB resident: "
              f"disk {said['disk_bytes_per_second'] / MiB:.0f} MiB/s, expected {said['tokens_per_second']:.2f}, "
              f"measured {rate:.2f} tokens/s ({arrived} pieces), {read / MiB / max(1, arrived - 1):.0f} MiB read per token "
              f"at {read / MiB / (last - began):.0f} MiB/s", flush=True)


def main():
    path = box.model("smollm-360m", "q8_0")
    for budget in args.budget:
        measure(path, budget)


main()
