"""Names of machines, rooms and people: two syllables each, so that a name that was never seen is made of known tokens.

A name belongs to one of two worlds, by a hash of its letters: four fifths are for training, one fifth is held out. No
name that evaluation uses has ever been trained on.
"""
import random
import zlib

CONSONANTS = "bdfgklmnprstvz"
VOWELS = "aeiou"
SYLLABLES = [c + v for c in CONSONANTS for v in VOWELS]

# Names that are words of the small language, or of English, would be one token and mean something.
NOT_NAMES = {"data", "date", "mine", "time", "code", "file", "line", "note", "rate", "safe", "node", "mode", "base",
             "more", "same", "made", "make", "take", "name", "role", "rule", "side", "size", "site", "page", "like",
             "life", "fine", "done", "none", "zone", "zero", "tone", "gate", "late", "sale", "tale", "pipe", "tube",
             "fire", "fuse", "pole", "pore", "core", "dose", "nose", "rose", "tape", "type", "vote", "bone", "lose",
             "move", "give", "live", "five", "nine", "pure", "sure", "sole", "solo", "demo", "memo", "kilo", "todo",
             "have", "save", "wave", "care", "rare", "rise", "wise", "bare", "base", "case", "came", "game", "gave"}


def held_out(name: str) -> bool:
    return zlib.crc32(name.encode()) % 5 == 0


class Names:
    """Draws names that differ in their first syllable within one task."""

    def __init__(self, rng: random.Random, held_out_world: bool):
        self._rng = rng
        self._held_out = held_out_world
        self._first = rng.sample(SYLLABLES, len(SYLLABLES))

    def one(self) -> str:
        while True:
            first = self._first.pop()
            for _ in range(40):
                name = first + self._rng.choice(SYLLABLES)
                if name[:2] != name[2:] and name not in NOT_NAMES and held_out(name) == self._held_out:
                    return name

    def some(self, count: int) -> list:
        return [self.one() for _ in range(count)]
