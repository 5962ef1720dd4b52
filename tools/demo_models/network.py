"""The network: what GGUF calls the architecture `llama`, small.

RMS norm, rotary positions on neighbouring pairs (as libllama's `llama`, hence no permutation on export), gated
feed-forward, the output matrix tied to the embedding. Heads are 32 wide.
"""
import dataclasses
import math

import torch
from torch import nn
from torch.nn import functional as F

HEAD = 32
ROPE_BASE = 10_000.0
NORM_EPSILON = 1e-5


@dataclasses.dataclass
class Shape:
    layers: int
    width: int
    feed_forward: int
    vocabulary: int
    context: int = 1024

    @property
    def heads(self) -> int:
        return self.width // HEAD


def rotations(positions: int) -> torch.Tensor:
    """Complex unit numbers, [positions, HEAD / 2]."""
    rates = ROPE_BASE ** (-torch.arange(0, HEAD, 2).float() / HEAD)
    angles = torch.arange(positions).float()[:, None] * rates
    return torch.polar(torch.ones_like(angles), angles)


def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + NORM_EPSILON) * weight


class Layer(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        width, hidden = shape.width, shape.feed_forward
        self.heads = shape.heads

        def matrix(rows, columns, scale=1.0):
            return nn.Parameter(torch.randn(rows, columns) * scale / math.sqrt(columns))

        self.attention_norm = nn.Parameter(torch.ones(width))
        self.feed_forward_norm = nn.Parameter(torch.ones(width))
        self.q, self.k, self.v = (matrix(width, width) for _ in range(3))
        self.gate, self.up = matrix(hidden, width), matrix(hidden, width)
        # What a layer adds starts at nothing, so that deep stacks learn from the first step.
        self.o = nn.Parameter(torch.zeros(width, width))
        self.down = nn.Parameter(torch.zeros(width, hidden))

    def forward(self, x, turn, mask, prefix, at=None):
        """x [batch, tokens, width]; prefix: keys and values of the beginning that the whole batch shares, or None;
        at: indices of the states that are wanted, of batch · tokens, or None for all.

        Returns x, [len(at), width] where some are wanted, and this layer's keys and values, [heads, batch · tokens,
        HEAD].
        """
        batch, tokens, width = x.shape
        heads = self.heads
        h = norm(x, self.attention_norm)
        qkv = F.linear(h, torch.cat([self.q, self.k, self.v]))
        qk = qkv[..., :2 * width].reshape(batch, tokens, 2 * heads, HEAD // 2, 2)
        qk = torch.view_as_real(torch.view_as_complex(qk) * turn[:, None]).reshape(batch, tokens, 2, heads, HEAD)
        q, k = qk.permute(2, 3, 0, 1, 4).contiguous()  # [heads, batch, tokens, HEAD]
        v = qkv[..., 2 * width:].reshape(batch, tokens, heads, HEAD).permute(2, 0, 1, 3).contiguous()
        flat = (heads * batch, tokens, HEAD)
        scores = torch.baddbmm(mask, q.view(flat), k.view(flat).transpose(1, 2), alpha=HEAD ** -0.5)
        if prefix is not None:
            past_k, past_v = prefix
            length = past_k.shape[1]
            past = torch.bmm(q.view(heads, batch * tokens, HEAD), past_k.transpose(1, 2)) * HEAD ** -0.5
            weights = torch.cat([past.view(heads * batch, tokens, length), scores], -1).softmax(-1)
            mixed = torch.bmm(weights[..., length:], v.view(flat)).view(heads, batch * tokens, HEAD)
            mixed = mixed + torch.bmm(weights[..., :length].reshape(heads, batch * tokens, length), past_v)
        else:
            mixed = torch.bmm(scores.softmax(-1), v.view(flat))
        mixed = mixed.view(heads, batch, tokens, HEAD).permute(1, 2, 0, 3).reshape(batch, tokens, width)
        if at is not None:
            x, mixed = x.reshape(-1, width)[at], mixed.reshape(-1, width)[at]
        x = x + F.linear(mixed, self.o)
        h = norm(x, self.feed_forward_norm)
        gate, up = F.linear(h, torch.cat([self.gate, self.up])).chunk(2, -1)
        x = x + F.linear(F.silu(gate) * up, self.down)
        return x, (k.view(heads, batch * tokens, HEAD), v.view(heads, batch * tokens, HEAD))


class Network(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.randn(shape.vocabulary, shape.width) * 0.05)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.output_norm = nn.Parameter(torch.ones(shape.width))
        self.rotations = rotations(shape.context)

    def _run(self, tokens, start, prefix, at=None):
        batch, length = tokens.shape
        mask = torch.full((length, length), -1e9).triu(1)
        turn = self.rotations[start:start + length]
        x = F.embedding(tokens, self.embedding)
        kept = []
        for n, layer in enumerate(self.layers):
            last = n + 1 == len(self.layers)
            x, keys = layer(x, turn, mask, prefix[n] if prefix else None, at if last else None)
            kept.append(keys)
        return x, kept

    def forward(self, tokens, shared=None, at=None):
        """Hidden states [batch, tokens, width] behind the last norm, or only those `at` some indices.

        tokens: [batch, tokens], padded on the right. shared: ids with which all of the batch begin; they are computed
        once, as the engine does with a preamble that its agents share.
        """
        prefix, start = None, 0
        if shared is not None and len(shared):
            _, prefix = self._run(torch.tensor([shared]), 0, None)
            start = len(shared)
        x, _ = self._run(tokens, start, prefix, at)
        return norm(x, self.output_norm)

    def logits(self, hidden):
        return F.linear(hidden, self.embedding)


def grown(small: Network, layers: int) -> Network:
    """A deeper network that computes the same, or a shallower one that has lost layers from its second half.

    New layers add nothing yet; they are spread between the old ones.
    """
    old = len(small.layers)
    network = Network(dataclasses.replace(small.shape, layers=layers))
    if layers >= old:
        pairs = zip(small.layers, [network.layers[round((i + 1) * layers / old) - 1] for i in range(old)])
    else:
        pairs = zip([*small.layers[:layers - 1], small.layers[-1]], network.layers)
    with torch.no_grad():
        network.embedding.copy_(small.embedding)
        network.output_norm.copy_(small.output_norm)
        for layer, place in pairs:
            place.load_state_dict(layer.state_dict())
    return network
