"""Muon for the matrices of the layers, AdamW for everything else.

Muon (K. Jordan and others, 2024): momentum whose singular values are all brought near one by four Newton–Schulz
iterations before it is applied. On networks of this size it needs about half of AdamW's steps.
"""
import torch


def orthogonal(g: torch.Tensor) -> torch.Tensor:
    """[n, rows, columns] → the same directions with singular values near 1. Quintic of Jordan, 2024."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = g.shape[1] > g.shape[2]
    x = g.transpose(1, 2) if tall else g
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(4):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if tall else x


class Optimiser:
    def __init__(self, network, muon_rate: float, adam_rate: float):
        self._rates = (muon_rate, adam_rate)
        by_shape = {}
        others = []
        for name, p in network.named_parameters():
            if name.startswith("layers") and p.ndim == 2:
                by_shape.setdefault(tuple(p.shape), []).append(p)
            else:
                others.append(p)
        self._groups = list(by_shape.values())
        self._momenta = [torch.zeros(len(g), *g[0].shape) for g in self._groups]
        self._adam = torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.01, foreach=True)

    @torch.no_grad()
    def step(self, scale: float):
        """One step with both rates times `scale`. The gradients are used up."""
        for group in self._adam.param_groups:
            group["lr"] = self._rates[1] * scale
        self._adam.step()
        for group, momentum in zip(self._groups, self._momenta):
            g = torch.stack([p.grad for p in group])
            momentum.lerp_(g, 0.05)
            update = orthogonal(g.lerp(momentum, 0.95))
            rate = self._rates[0] * scale * max(1.0, group[0].shape[0] / group[0].shape[1]) ** 0.5
            for p, u in zip(group, update):
                p.mul_(1 - rate * 0.01).sub_(u, alpha=rate)
        for p in [p for group in self._groups for p in group]:
            p.grad = None
        self._adam.zero_grad(set_to_none=True)

    def state(self):
        return {"adam": self._adam.state_dict(), "momenta": self._momenta}

    def load(self, state):
        self._adam.load_state_dict(state["adam"])
        self._momenta = state["momenta"]
