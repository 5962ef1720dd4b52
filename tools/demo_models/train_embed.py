"""Trains the sentence model: vectors in which paraphrases of the small language lie near each other.

    train_embed.py --out build/demo-models/embed --steps 1500 models/embed.gguf

Two causal layers, the mean over all tokens, scaled to length one. The loss (InfoNCE) asks each sentence for its own
paraphrase among those of the batch and the near misses of all. The same seed gives the same sentences.
"""
import argparse
import json
import pathlib
import random
import time

import torch
from torch.nn import functional as F

import export
import gguf_file
import network
import paraphrases
from optimiser import Optimiser
from tokenizer import PAD, SIZE, Tokenizer

SHAPE = network.Shape(layers=2, width=64, feed_forward=192, vocabulary=SIZE, context=512)
SHARPNESS = 20.0
POOLING_MEAN = 1


def vectors(net, tokenizer, sentences):
    ids = [tokenizer.encode(s) for s in sentences]
    tokens = torch.full((len(ids), max(map(len, ids))), PAD)
    real = torch.zeros(tokens.shape)
    for row, sentence in enumerate(ids):
        tokens[row, :len(sentence)] = torch.tensor(sentence)
        real[row, :len(sentence)] = 1
    states = net(tokens) * real[..., None]
    return F.normalize(states.sum(1), dim=-1)  # the mean's direction


@torch.no_grad()
def share_of_right_triples(net, tokenizer, seed, count=1000):
    rng = random.Random(seed)
    first, second, other = zip(*(paraphrases.triple(rng, True) for _ in range(count)))
    a, b, c = (vectors(net, tokenizer, part) for part in (first, second, other))
    return ((a * b).sum(-1) > (a * c).sum(-1)).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    rng, tokenizer = random.Random(args.seed), Tokenizer()
    net = network.Network(SHAPE)
    optimiser = Optimiser(net, 0.02, 0.003)
    began = time.time()
    for step in range(args.steps):
        first, second, other = zip(*(paraphrases.triple(rng, False) for _ in range(args.batch)))
        net.train()
        a, b, c = vectors(net, tokenizer, first + second + other).chunk(3)
        scores = SHARPNESS * torch.cat([a @ b.T, a @ c.T], 1)
        loss = F.cross_entropy(scores, torch.arange(args.batch))
        loss.backward()
        optimiser.step(min(1.0, (step + 1) / 50) * min(1.0, (args.steps - step) / (args.steps * 0.4)))
        if (step + 1) % 100 == 0:
            net.eval()
            line = {"step": step + 1, "seconds": round(time.time() - began), "loss": round(loss.item(), 4),
                    "triples": round(share_of_right_triples(net, tokenizer, 20261121), 4)}
            with open(args.out / "curve.jsonl", "a" if step >= 100 else "w") as out:
                out.write(json.dumps(line) + "\n")
            print(line, flush=True)
    metadata = export.metadata_of(net.eval(), args.model.stem, "Sentence vectors for the small language of skep's demo. "
                                  "See models/README.md.", export.TYPES["f16"][1])
    metadata["llama.pooling_type"] = POOLING_MEAN
    args.model.parent.mkdir(parents=True, exist_ok=True)
    gguf_file.write(args.model, metadata, export.tensors_of(net), gguf_file.TENSOR_F16)


if __name__ == "__main__":
    main()
