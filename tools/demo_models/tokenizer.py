"""A byte-level BPE tokenizer in which the words of the small language are one token each.

The GGUF names the pre-tokenizer "llama-bpe": text is cut into words by one regular expression, and a word that is in
the vocabulary as it stands is one token, whatever the merges say. So the vocabulary may hold whole words without the
pieces between; the merges only make the syllables of names. Whatever else comes falls back to syllables and bytes, so
every text has tokens.
"""
import collections
import random
import re

import names
import roster
import small_language

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PAD, TURN_START, TURN_END = range(3)
SIZE = 1280

# llama.cpp's LLAMA_VOCAB_PRE_TYPE_LLAMA3, with Python's classes for \p{L} and \p{N}.
WORD = re.compile(r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|(?:[^\w\r\n]|_)?[^\W\d_]+|\d{1,3}"
                  r"| ?(?:[^\s\w]|_)+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def _stand_ins():
    """GPT-2's printable characters for bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xa1, 0xad), *range(0xae, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + n) for n, b in enumerate(others)}}


STAND_IN = _stand_ins()


def stand_in(text: str) -> str:
    return "".join(STAND_IN[b] for b in text.encode())


def _words_of_the_language():
    """Every word that the tasks use, names and numbers aside, by how often it comes."""
    rng = random.Random(1)
    pairs = [re.compile("^[ ]?(" + "|".join(names.SYLLABLES) + "){2}$"), re.compile(r"^\d+$")]
    counts = collections.Counter()
    for makers in small_language.MAKERS.values():
        for maker in makers:
            for _ in range(400):
                task = small_language.make(maker, rng, False)
                counts.update(WORD.findall(task.prompt))
                counts.update(WORD.findall(task.worked()))
    known = set(names.NOT_NAMES)
    return [w for w, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            if len(w) > 1 and (w.strip() in known or not any(p.match(w) for p in pairs))]


class Tokenizer:
    def __init__(self):
        self.tokens = list(CONTROL) + [STAND_IN[b] for b in range(256)]
        self.merges = []
        for syllable in names.SYLLABLES:
            self.tokens.append(syllable)
            self.merges.append(f"{syllable[0]} {syllable[1]}")
        for syllable in names.SYLLABLES:
            self.tokens.append(STAND_IN[32] + syllable)
            self.merges.append(f"{STAND_IN[32]} {syllable}")
        self.tokens += [str(n) for n in range(10, 100)]
        known = set(self.tokens)
        words = ["system", "user", "assistant", *_words_of_the_language(), *roster.words_by_rank()]
        for word in words:
            if len(self.tokens) == SIZE:
                break
            token = stand_in(word)
            if token not in known:
                known.add(token)
                self.tokens.append(token)
        assert len(self.tokens) == SIZE
        self._id = {token: n for n, token in enumerate(self.tokens)}
        self._rank = {tuple(merge.split(" ")): n for n, merge in enumerate(self.merges)}
        self._cache = {}

    def _word(self, word: str):
        symbols = stand_in(word)
        if symbols in self._id:
            return [self._id[symbols]]
        symbols = list(symbols)
        while True:
            ranked = [(self._rank.get(pair, len(self.merges)), at) for at, pair in enumerate(zip(symbols, symbols[1:]))]
            if not ranked or min(ranked)[0] == len(self.merges):
                return [self._id[s] for s in symbols]
            at = min(ranked)[1]
            symbols[at:at + 2] = [symbols[at] + symbols[at + 1]]

    def encode(self, text: str):
        """Ids of plain text; control tokens are not looked for."""
        out = []
        for word in WORD.findall(text):
            ids = self._cache.get(word)
            if ids is None:
                ids = self._word(word)
                if len(self._cache) < 100_000:
                    self._cache[word] = ids
            out += ids
        return out

    def decode(self, ids) -> str:
        byte_of = {c: b for b, c in STAND_IN.items()}
        text = "".join(self.tokens[i] for i in ids if i >= len(CONTROL))
        return bytes(byte_of[c] for c in text).decode(errors="replace")

    def turn(self, role: str, text: str):
        """One turn of ChatML: <|im_start|>role\\ntext<|im_end|>\\n"""
        return [TURN_START, *self.encode(role + "\n" + text), TURN_END, *self.encode("\n")]

    def opening(self):
        return [TURN_START, *self.encode("assistant\n")]
