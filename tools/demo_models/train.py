"""Trains one model of the small language.

    train.py --tier deep --out build/demo-models/deep --steps 4000 [--cooldown 0.4] [--grow balanced/checkpoint.pt]

Writes OUT/checkpoint.pt (resumed from when it is there) and OUT/curve.jsonl, one line per evaluation. The learning rate
is warmed up, then constant, then falls to nothing over the last part of the run. What is evaluated and exported is the
exponential average of the weights. The same seed gives the same tasks in the same order; sums in
another order (threads, another CPU) make the weights differ in their last digits.
"""
import argparse
import copy
import dataclasses
import json
import os
import pathlib
import random
import time

import torch
from torch.nn import functional as F

import beginnings
import conversations
import network
import small_language
from optimiser import Optimiser
from tokenizer import PAD, SIZE, Tokenizer


@dataclasses.dataclass
class Tier:
    layers: int
    width: int
    feed_forward: int
    worked: bool        # writes its steps before the answer
    shares: dict        # of tasks by steps


TIERS = {
    "trunk": Tier(4, 96, 256, True, {1: 0.55, 2: 0.33, 3: 0.12}),  # not shipped: what all tiers have in common
    "fast": Tier(3, 96, 256, False, {1: 0.92, 2: 0.05, 3: 0.03}),
    "balanced": Tier(4, 96, 256, True, {1: 0.45, 2: 0.45, 3: 0.10}),
    "deep": Tier(7, 96, 256, True, {1: 0.28, 2: 0.34, 3: 0.38}),
}


OUTSIDE_SHARE = 0.02
SMOOTHING = 0.98  # of the averaged weights, per step


def new_network(tier: Tier) -> network.Network:
    return network.Network(network.Shape(tier.layers, tier.width, tier.feed_forward, SIZE))


class Tasks:
    """An endless stream of batches of about the same length; of each number of steps more of what is answered wrongly."""

    def __init__(self, tier: Tier, tokenizer: Tokenizer, seed: int, batch: int, surrounded: float):
        self._surrounded = surrounded
        self._tier, self._tokenizer, self._batch = tier, tokenizer, batch
        self._rng = random.Random(seed)
        self._surroundings = conversations.Surroundings(tokenizer)
        self._makers = [(m, steps) for steps, makers in small_language.MAKERS.items() for m in makers]
        self._wrong = {}  # share of wrong answers by maker
        self._pool = []

    def report(self, wrong: dict):
        self._wrong = wrong

    def _weights(self):
        need = [0.25 + self._wrong.get(maker.__name__, 1.0) for maker, _ in self._makers]
        total = {s: sum(n for n, (_, steps) in zip(need, self._makers) if steps == s) for s in small_language.MAKERS}
        return [self._tier.shares[steps] * n / total[steps] for n, (_, steps) in zip(need, self._makers)]

    def _fill(self):
        makers = self._rng.choices([m for m, _ in self._makers], self._weights(), k=self._batch * 12)
        encoded = []
        for maker in makers:
            if self._rng.random() < OUTSIDE_SHARE:
                task = conversations.outside(self._rng, False)
            else:
                task = small_language.make(maker, self._rng, False)
            encoded.append(conversations.encode(self._tokenizer, task, self._tier.worked))
        encoded.sort(key=lambda e: len(e[0]))
        self._pool = [encoded[i:i + self._batch] for i in range(0, len(encoded), self._batch)]
        self._rng.shuffle(self._pool)

    def next(self):
        """(shared beginning, batch)"""
        if not self._pool:
            self._fill()
        return self._surroundings.draw(self._rng, self._surrounded), self._pool.pop()


class Peer:
    """Another process that trains the same network on other tasks: now and then each takes the mean of both.

    On a busy machine two processes of one thread get more done than two threads that wait for each other.
    """

    EVERY = 10  # steps

    def __init__(self, folder: pathlib.Path, number: int):
        self._mine, self._other = folder / f"peer-{number}.pt", folder / f"peer-{1 - number}.pt"
        self._seen = None

    @torch.no_grad()
    def meet(self, parameters, step: int):
        if step % self.EVERY:
            return
        if self._other.exists():
            written = self._other.stat().st_mtime_ns
            if written != self._seen:  # a peer that stands still holds nobody back
                self._seen = written
                for mine, other in zip(parameters, torch.load(self._other)):
                    mine.lerp_(other, 0.5)
        torch.save([p.detach() for p in parameters], self._mine.with_suffix(".new"))
        os.replace(self._mine.with_suffix(".new"), self._mine)


def tensors(batch):
    """(tokens [batch, longest − 1], indices of states that predict an answer's token, those tokens, rows)"""
    longest = max(len(ids) for ids, _ in batch) - 1
    tokens = torch.full((len(batch), longest), PAD)
    at, targets, rows = [], [], []
    for row, (ids, start) in enumerate(batch):
        tokens[row, :len(ids) - 1] = torch.tensor(ids[:-1])
        at += range(row * longest + start - 1, row * longest + len(ids) - 1)
        targets += ids[start:]
        rows += [row] * (len(ids) - start)
    return tokens, torch.tensor(at), torch.tensor(targets), torch.tensor(rows)


def answer_logits(net, batch, shared):
    tokens, at, targets, rows = tensors(batch)
    return net.logits(net(tokens, shared, at)), targets, rows


@torch.no_grad()
def exact(net, batch, shared):
    """Whether each answer is the most likely one at every token, which is what greedy decoding says."""
    logits, targets, rows = answer_logits(net, batch, shared)
    wrong = logits.argmax(-1) != targets
    bad = torch.zeros(len(batch)).index_put_((rows,), wrong.float(), accumulate=True)
    return (bad == 0).tolist()


def evaluate(net, tier, tokenizer, count, seed=20261121):
    """Share of right answers by maker, on held-out names; half of them behind a shared beginning."""
    rng = random.Random(seed)
    surroundings = conversations.Surroundings(tokenizer)
    shared = []
    while len(shared) < 300:
        shared = surroundings.draw(rng)
    out = {}
    for makers in small_language.MAKERS.values():
        for maker in makers:
            batch = [conversations.encode(tokenizer, small_language.make(maker, rng, True), tier.worked)
                     for _ in range(count)]
            half = count // 2
            right = exact(net, batch[:half], None) + exact(net, batch[half:], shared)
            out[maker.__name__] = sum(right) / count
    return out


def by_steps(scores):
    return {steps: sum(scores[m.__name__] for m in makers) / len(makers)
            for steps, makers in small_language.MAKERS.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tier", choices=TIERS, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=0, help="of training; or")
    parser.add_argument("--seconds", type=float, default=0, help="of this process's CPU time")
    parser.add_argument("--cooldown", type=float, default=0, help="the share of either over which the rate falls to 0")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--evaluate-every", type=int, default=200)
    parser.add_argument("--evaluate-tasks", type=int, default=40, help="of each kind, 2 or more; 0: no evaluation")
    parser.add_argument("--surrounded", type=float, default=0.15,
                        help="share of batches behind a system prompt or earlier turns")
    parser.add_argument("--peer", type=int, choices=[0, 1], help="this is one of two processes on the same OUT")
    parser.add_argument("--grow", type=pathlib.Path, help="begin with a smaller model's checkpoint")
    parser.add_argument("--muon-rate", type=float, default=0.01)
    parser.add_argument("--adam-rate", type=float, default=0.002)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.steps and not args.seconds:
        parser.error("one of --steps and --seconds is needed")
    tier, tokenizer = TIERS[args.tier], Tokenizer()
    net = new_network(tier)
    beginnings.give_meaning(net.embedding, tokenizer)
    beginnings.give_circuits(net)
    if args.grow:
        saved = torch.load(args.grow)
        smaller = new_network(TIERS[saved["tier"]])
        smaller.load_state_dict(saved["average"])
        net = network.grown(smaller, tier.layers)
    optimiser = Optimiser(net, args.muon_rate, args.adam_rate)
    average = copy.deepcopy(net).eval()
    step, spent, tokens_seen = 0, 0.0, 0
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        net.load_state_dict(saved["weights"])
        average.load_state_dict(saved["average"])
        optimiser.load(saved["optimiser"])
        step, spent, tokens_seen = saved["step"], saved["seconds"], saved["tokens"]
    peer = Peer(args.out, args.peer) if args.peer is not None else None
    tasks = Tasks(tier, tokenizer, args.seed * 1_000_003 + (args.peer or 0) * 500_009 + step, args.batch, args.surrounded)
    if checkpoint.exists():
        tasks.report(saved["wrong"])
    wrong = saved["wrong"] if checkpoint.exists() else {}

    def save():
        torch.save({"weights": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state(),
                    "step": step, "seconds": spent, "tokens": tokens_seen, "wrong": wrong, "tier": args.tier},
                   checkpoint.with_suffix(".new"))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)

    parameters = list(net.parameters())
    print(f"{args.tier}: {sum(p.numel() for p in parameters):,} parameters", flush=True)
    last_saved, loss_sum, loss_count = time.time(), 0.0, 0

    def progress():
        return step / args.steps if args.steps else spent / args.seconds

    while progress() < 1:
        began = time.process_time()
        shared, batch = tasks.next()
        net.train()
        logits, targets, rows = answer_logits(net, batch, shared)
        # Every answer counts as much as its number of tokens to the power of a half: short answers are not drowned.
        lengths = torch.bincount(rows, minlength=len(batch)).float()
        weights = lengths[rows].rsqrt()
        loss = (F.cross_entropy(logits, targets, reduction="none") * weights).sum() / weights.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        warm = min(1.0, (step + 1) / 100)
        left = min(1.0, (1 - progress()) / args.cooldown) if args.cooldown else 1.0
        optimiser.step(warm * left)
        if peer:
            peer.meet(parameters, step + 1)
        with torch.no_grad():
            torch._foreach_mul_(list(average.parameters()), SMOOTHING)
            torch._foreach_add_(list(average.parameters()), parameters, alpha=1 - SMOOTHING)
        step += 1
        spent += time.process_time() - began
        tokens_seen += sum(len(ids) for ids, _ in batch)
        loss_sum, loss_count = loss_sum + loss.item(), loss_count + 1
        leads = not args.peer
        if leads and args.evaluate_tasks and (step % args.evaluate_every == 0 or progress() >= 1):
            scores = evaluate(average, tier, tokenizer, args.evaluate_tasks)
            wrong = {name: 1 - s for name, s in scores.items()}
            tasks.report(wrong)
            line = {"step": step, "seconds": round(spent), "tokens": tokens_seen,
                    "loss": round(loss_sum / loss_count, 4),
                    "steps": {str(k): round(v, 3) for k, v in by_steps(scores).items()}, "kinds": scores}
            with open(args.out / "curve.jsonl", "a") as out:
                out.write(json.dumps(line) + "\n")
            print(time.strftime("%H:%M:%S"), step, f"{spent:.0f}s loss {loss_sum / loss_count:.3f}", line["steps"],
                  {k: v for k, v in scores.items()}, flush=True)
            loss_sum, loss_count = 0.0, 0
        if time.time() - last_saved > 120 or progress() >= 1:
            if leads:
                save()
            last_saved = time.time()


if __name__ == "__main__":
    main()
