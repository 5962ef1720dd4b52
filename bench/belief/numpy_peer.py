"""Hand-vectorised numpy on workload M: the peer of `skep bench belief`.

10,000 agents with 32 states, 32 observations and 4 actions share a model; one update is predict, correct, normalise and
free energy. Agents are grouped by action so that the prediction is one matrix product per action (BLAS does its best),
everything else is whole-array arithmetic in float32. Prints updates per second, the best of the rounds.
"""
import sys
import time

import numpy as np

AGENTS, STATES, OBSERVATIONS, ACTIONS = 10_000, 32, 32, 4


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rng = np.random.default_rng(1)
    likelihood = rng.dirichlet(np.ones(OBSERVATIONS), STATES).T.astype(np.float32).copy()  # [o, s]
    transition = [rng.dirichlet(np.ones(STATES), STATES).astype(np.float32) for _ in range(ACTIONS)]  # [s, s']
    belief = np.full((AGENTS, STATES), 1 / STATES, np.float32)
    prior = np.empty_like(belief)
    observations = rng.integers(0, OBSERVATIONS, (8, AGENTS))
    actions = rng.integers(0, ACTIONS, (8, AGENTS))
    best = 0.0
    for _ in range(rounds):
        start = time.perf_counter()
        steps = 0
        while time.perf_counter() - start < 0.3:
            action = actions[steps % 8]
            for a in range(ACTIONS):
                chosen = np.flatnonzero(action == a)
                prior[chosen] = belief[chosen] @ transition[a]
            np.multiply(prior, likelihood[observations[steps % 8]], out=belief)
            evidence = belief.sum(axis=1, keepdims=True)
            belief /= evidence
            free_energy = -np.log(evidence[:, 0])
            steps += 1
        best = max(best, steps * AGENTS / (time.perf_counter() - start))
    assert np.isfinite(free_energy).all()
    print(best)


if __name__ == "__main__":
    main()
