"""The Python module against pymdp's golden vectors, and its promise not to copy.

    python3 test_skep_belief.py FOLDER_OF_THE_MODULE FOLDER_OF_THE_GOLDENS
"""
import glob
import json
import os
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, sys.argv[1])
import skep_belief  # noqa: E402

GOLDENS = sorted(glob.glob(os.path.join(sys.argv[2], "case_*.json")))


def arrays(nested):
    return [np.array(a) for a in nested]


def flat(nested):
    if isinstance(nested, (list, tuple)):
        return np.concatenate([flat(x) for x in nested]) if nested else np.array([])
    return np.atleast_1d(np.asarray(nested, dtype=float)).ravel()


def agent_of(case):
    return skep_belief.Agent(
        arrays(case["A"]), arrays(case["B"]), C=arrays(case["C"]), D=arrays(case["D"]), E=np.array(case["E"]),
        pA=arrays(case["pA"]), pB=arrays(case["pB"]), pD=arrays(case["pD"]), policy_len=case["policy_len"],
        gamma=case["gamma"], alpha=case["alpha"], use_param_info_gain=case["use_param_info_gain"],
        inference_algo=case["inference_algo"], inference_horizon=case["inference_horizon"],
        sophisticated=case["sophisticated"], si_horizon=2, A_factor_list=case["A_factor_list"],
        B_factor_list=case["B_factor_list"])


class Goldens(unittest.TestCase):
    def test_every_case_agrees(self):
        self.assertGreaterEqual(len(GOLDENS), 26)
        for path in GOLDENS:
            with open(path) as file:
                case = json.load(file)
            agent = agent_of(case)
            for step in case["steps"]:
                with self.subTest(case=case["case"], t=step["t"]):
                    if step["action_prev"] is not None:
                        agent.action = [int(a) for a in step["action_prev"]]
                    qs = agent.infer_states(step["obs"])
                    np.testing.assert_allclose(flat(qs), flat(step["qs"]), atol=1e-6)
                    q_pi, G = agent.infer_policies()
                    np.testing.assert_allclose(q_pi, step["q_pi"], atol=1e-6)
                    np.testing.assert_allclose(G, step["neg_efe_G"], atol=1e-6)
                    if "vfe" in step:
                        self.assertAlmostEqual(agent.F, step["vfe"]["F"], delta=1e-6)
                    else:
                        np.testing.assert_allclose(agent.F, step["F_policies"], atol=1e-6)
                    agent.sample_action()

    def test_learning_agrees(self):
        with open(GOLDENS[2]) as file:
            case = json.load(file)
        agent = agent_of(case)
        step = case["steps"][0]
        agent.infer_states(step["obs"])
        np.testing.assert_allclose(flat(agent.update_A(step["obs"])), flat(step["learn"]["qA"]), atol=1e-6)


def small_population(agents=300, **options):
    rng = np.random.default_rng(1)
    A = rng.dirichlet(np.ones(5), 7).T
    B = np.stack([rng.dirichlet(np.ones(7), 7).T for _ in range(3)], axis=-1)
    population = skep_belief.Population([A], [B], C=[rng.normal(size=5)], capacity=agents, **options)
    population.add(agents)
    return population, A, B


class Populations(unittest.TestCase):
    def test_a_step_is_bayes(self):
        population, A, B = small_population()
        observations = np.random.default_rng(2).integers(0, 5, 300).astype(np.uint16)
        population.step(observations)
        expected = A[observations] / 7
        evidence = expected.sum(axis=1)
        np.testing.assert_allclose(population.beliefs, expected / evidence[:, None], atol=1e-6)
        np.testing.assert_allclose(population.free_energy, -np.log(evidence), atol=1e-5)
        before, actions = population.beliefs.copy(), population.actions.copy()
        population.step(observations)
        prior = np.einsum("nsi,is->in", B[:, :, actions], before)
        expected = A[observations] * prior
        np.testing.assert_allclose(population.beliefs, expected / expected.sum(axis=1)[:, None], atol=1e-5)

    def test_views_share_memory_and_can_not_be_written(self):
        population, _, _ = small_population()
        view, again = population.beliefs, population.beliefs
        self.assertTrue(np.shares_memory(view, again))
        self.assertEqual(view.dtype, np.float32)
        before = view.copy()
        population.step(np.zeros(300, np.uint16))
        self.assertFalse(np.array_equal(before, view), "the view shows the step")
        with self.assertRaises(ValueError):
            view[0, 0] = 1
        with self.assertRaises(ValueError):
            population.actions[0] = 1
        del population  # the view keeps what it shows alive
        self.assertAlmostEqual(float(view[0].sum()), 1, places=5)

    def test_what_would_need_a_copy_is_refused(self):
        population, _, _ = small_population()
        with self.assertRaises(TypeError):
            population.step(np.zeros(300, np.int64))
        with self.assertRaises(TypeError):
            population.step(np.zeros(600, np.uint16)[::2])
        with self.assertRaises(ValueError):
            population.step(np.full(300, 9, np.uint16))
        with self.assertRaises(ValueError):
            skep_belief.Population([np.ones((2, 2))], [np.ones((2, 2, 1)) / 2])

    def test_a_file_survives(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "population")
            population, _, _ = small_population(file=path)
            population.step(np.full(300, 3, np.uint16))
            beliefs = population.beliefs
            del population
            again = skep_belief.Population.open(path)
            self.assertEqual(again.steps, 1)
            np.testing.assert_array_equal(again.beliefs, beliefs)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
