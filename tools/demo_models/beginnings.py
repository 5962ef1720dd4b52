"""Weights to begin with. Training on a CPU is too short to wait until copying heads appear by themselves, so the first
two layers begin with them; the embedding begins with what the tokens mean. Everything is trained from there.

The idea of starting attention near what it will become is that of mimetic initialisation (Trockman & Kolter, 2023); the
circuit is the induction head (Olsson and others, 2022): a head of layer 0 writes down which token came before, a head
of layer 1 looks for the place whose predecessor is the token at hand, and copies what stands there.
"""
import math

import torch

import network
from tokenizer import STAND_IN, Tokenizer

COMMON = 0.5        # of an embedding's length is the same in all: heads that look only at distance read it
FASTEST = 3         # pairs of a head, the fastest turning, that tell one distance from the next
SLOWEST = 7         # pairs from here on hardly turn over a prompt: they compare contents
SHARPNESS = 30.0    # of looking at one distance
WRITE = 2.0         # how loudly a head of layer 0 says which token came before, in lengths of an embedding
COPY = 12.0         # how loudly a head of layer 1 says what it found
LOUDNESS = 4.0      # of all logits, so that what is copied is said with some confidence
MATCH = 4.0         # of looking for a content


@torch.no_grad()
def give_meaning(embedding: torch.Tensor, tokenizer: Tokenizer):
    """A word is near itself behind a blank, a number near its neighbours.

    Numbers lie on waves of several lengths: the longest orders them, the one of ten tells the last digit.
    """
    deviation = embedding.std()
    blank = STAND_IN[32]
    at = {token: n for n, token in enumerate(tokenizer.tokens)}
    led = deviation * torch.randn(embedding.shape[1])  # what a blank adds, the same for every word
    for token, n in at.items():
        if token.startswith(blank) and token[1:] in at:
            embedding[n] = 0.87 * embedding[at[token[1:]]] + 0.4 * led + 0.3 * embedding[n]
    numbers = torch.arange(10, 100)
    waves = [f(2 * math.pi * numbers / length) for length in (200, 90, 40, 20, 10) for f in (torch.sin, torch.cos)]
    curve = torch.stack(waves, 1) @ torch.randn(len(waves), embedding.shape[1])
    rows = [at[str(n)] for n in numbers.tolist()]
    embedding[rows] = 0.87 * deviation * curve / curve.std() + 0.5 * embedding[rows]


@torch.no_grad()
def give_circuits(net: network.Network):
    """Layer 0: heads for the token before and the one before that. Layer 1: heads that copy what followed."""
    width, head = net.shape.width, network.HEAD
    net.output_norm.fill_(LOUDNESS)
    length = net.embedding.norm(dim=1).mean()
    common = torch.nn.functional.normalize(torch.randn(width), dim=0)
    net.embedding -= (net.embedding @ common)[:, None] * common
    net.embedding += COMMON * length * common
    bases = torch.linalg.qr(torch.randn(width, width))[0]  # orthonormal columns, cut among the heads
    first, second = net.layers[0], net.layers[1]
    rates = network.ROPE_BASE ** (-torch.arange(0, head, 2).float() / head)
    strength = math.sqrt(SHARPNESS) / (math.sqrt(width) * COMMON / math.sqrt(1 + COMMON ** 2))
    written = []
    for number in range(2):
        rows = slice(number * head, (number + 1) * head)
        pairs = torch.zeros(head // 2, 2)
        pairs[:FASTEST, 0] = strength
        distance = number + 1
        turned = torch.stack([pairs[:, 0] * torch.cos(rates * distance), -pairs[:, 0] * torch.sin(rates * distance)], 1)
        first.k[rows] = pairs.reshape(head, 1) * common
        first.q[rows] = turned.reshape(head, 1) * common
        content = bases[:, :head].T  # both heads read the same projection
        first.v[rows] = content - (content @ common)[:, None] * common
        out = bases[:, (number + 1) * head % width:][:, :head]
        first.o[:, rows] = out * WRITE * length / math.sqrt(width)
        written.append(out)
    content = bases[:, :head].T
    for number in range(net.shape.heads):
        rows = slice(number * head, (number + 1) * head)
        slow = torch.zeros(head, 1)
        slow[2 * SLOWEST:] = MATCH
        # Where the token before (written by head 0) is the token at hand; the third head: where it is the token before
        # the one at hand, which finds the value behind a field's name.
        second.k[rows] = slow * written[0].T
        second.q[rows] = slow * (written[0].T if number == 2 else content)
        part = bases[:, rows].T
        second.v[rows] = part
        second.o[:, rows] = part.T * COPY * length / math.sqrt(width)
