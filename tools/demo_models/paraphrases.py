"""Sentences of the small language in several wordings, for sentence vectors.

A meaning is a kind of happening with its names and values; a wording says it. Two wordings of one meaning are
paraphrases. What differs in kind, in name or in value isn't one.
"""
import dataclasses
import random

from names import Names
from small_language import QUANTITIES

WORDINGS = {
    "reading": ["sensor {a} reads {q} {v}", "the {q} of {a} is {v}", "{a}: {q} {v}", "{q} at {a} stands at {v}",
                "{v} is the {q} that {a} shows"],
    "failed": ["{a} failed", "{a} is down", "{a} has stopped", "an outage of {a}", "{a} is out"],
    "restarted": ["{a} restarted", "{a} was started again", "restart of {a}", "{a} is up again"],
    "disk": ["disk of {a} is full", "{a} has no more disk", "no room on the disk of {a}", "disk full on {a}"],
    "battery": ["battery of {a} is low", "{a} needs a new battery", "low battery at {a}", "{a} runs out of battery"],
    "door": ["door of {a} is open", "{a} stands open", "someone left the door of {a} open", "open door at {a}"],
    "call": ["call {a}", "{a} should be called", "tell {a} to come", "mail to {a}, please come"],
    "feeds": ["{a} feeds {b}", "{b} is fed by {a}", "{a} comes before {b}", "{b} comes after {a}"],
    "room": ["{a} is in {b}", "room {b} has {a}", "you find {a} in {b}", "{b} is where {a} stands"],
    "order": ["order {v} of {a} costs {w} euro", "{a} pays {w} euro for order {v}",
              "{w} euro from {a}, order {v}", "for order {v} {a} owes {w} euro"],
    "limit": ["warn at {v} for {a}", "the limit of {a} is {v}", "{a} is critical from {v}", "{v} is too high for {a}"],
    "login": ["login of {a} failed twice", "{a} typed a wrong password twice", "two bad passwords from {a}",
              "{a} could not log in"],
    "water": ["water in the cellar of {a}", "the cellar of {a} is wet", "{a} has water down in the cellar",
              "the water stands in {a}"],
    "slow": ["{a} was slow", "slow reply from {a}", "{a} takes too many seconds", "one waits long for {a}"],
}


@dataclasses.dataclass(frozen=True)
class Meaning:
    kind: str
    a: str
    b: str
    quantity: str
    v: int
    w: int

    def sentence(self, wording: str) -> str:
        return wording.format(a=self.a, b=self.b, q=self.quantity, v=self.v, w=self.w)

    def same_as(self, other) -> bool:
        """Whether both say the same: only what a wording of this kind mentions counts."""
        wording = WORDINGS[self.kind][0]
        return self.kind == other.kind and self.sentence(wording) == other.sentence(wording)


def meaning(rng: random.Random, held_out: bool) -> Meaning:
    names = Names(rng, held_out)
    return Meaning(rng.choice(list(WORDINGS)), names.one(), names.one(), rng.choice(QUANTITIES), rng.randint(10, 99),
                   rng.randint(10, 99))


def near_miss(rng: random.Random, of: Meaning, held_out: bool) -> Meaning:
    """Another meaning that shares as much as it can: of another kind about the same names, or of the same kind."""
    fresh = meaning(rng, held_out)
    while True:
        if rng.random() < 0.5:
            other = dataclasses.replace(of, kind=rng.choice(list(WORDINGS)))
        elif "{v}" in WORDINGS[of.kind][0] and rng.random() < 0.5:
            other = dataclasses.replace(of, v=rng.randint(10, 99))
        else:
            other = dataclasses.replace(of, a=fresh.a)
        if not other.same_as(of):
            return other


def triple(rng: random.Random, held_out: bool):
    """(sentence, its paraphrase, another sentence)"""
    first = meaning(rng, held_out)
    one, two = rng.sample(WORDINGS[first.kind], 2)
    other = near_miss(rng, first, held_out)
    return first.sentence(one), first.sentence(two), other.sentence(rng.choice(WORDINGS[other.kind]))
