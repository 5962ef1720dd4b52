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


    def test_policies_may_be_arrays_or_lists(self):
        rng = np.random.default_rng(4)
        A, B = rng.dirichlet(np.ones(3), 4).T, np.stack([rng.dirichlet(np.ones(4), 4).T for _ in range(2)], axis=-1)
        arrays_of = [np.array([[0], [1]]), np.array([[1], [1]]), np.array([[1], [0]])]
        G = []
        for policies in (arrays_of, [p.tolist() for p in arrays_of], [tuple(map(tuple, p)) for p in arrays_of]):
            agent = skep_belief.Agent([A], [B], C=[np.arange(3.0)], policies=policies)
            agent.infer_states([1])
            G.append(agent.infer_policies()[1])
        self.assertEqual(len(G[0]), 3)
        np.testing.assert_array_equal(G[0], G[1])
        np.testing.assert_array_equal(G[0], G[2])
        for wrong in ([[0, 1]], ["x"], [[[0], [1, 1]]]):
            with self.assertRaises(ValueError):
                skep_belief.Agent([A], [B], policies=wrong)

    def test_habits_forgetting_and_adaptive_precision(self):
        rng = np.random.default_rng(5)
        A, B = rng.dirichlet(np.ones(3), 4).T, np.stack([rng.dirichlet(np.ones(4), 4).T for _ in range(2)], axis=-1)
        agent = skep_belief.Agent([A], [B], C=[np.arange(3.0)], E=np.array([0.7, 0.3]), pA=[3 * A], lr_pE=0.5,
                                  forgetting=0.25, adaptive_gamma=True, gamma=2.0)
        counts, pE = 3 * A, np.array([0.7, 0.3])
        for o in (0, 2, 1):
            q = agent.infer_states([o])[0]
            counts = 3 * A + 0.75 * (counts - 3 * A) + np.eye(3)[o][:, None] * q
            np.testing.assert_allclose(agent.update_A([o])[0], counts, atol=1e-9)
            q_pi, _ = agent.infer_policies()
            pE = [0.7, 0.3] + 0.75 * (pE - [0.7, 0.3]) + 0.5 * q_pi
            np.testing.assert_allclose(agent.update_E(), pE / pE.sum(), atol=1e-9)
            np.testing.assert_allclose(agent.E, pE / pE.sum(), atol=1e-9)
            agent.sample_action()
        self.assertNotEqual(agent.gamma, 2.0)


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

    def test_float64_is_a_view_too_and_single_rows_always_are(self):
        population, _, _ = small_population(dtype="float64")
        view = population.beliefs
        self.assertEqual(view.dtype, np.float64)
        self.assertTrue(np.shares_memory(view, population.beliefs))
        before = view.copy()
        population.step(np.zeros(300, np.uint16))
        self.assertFalse(np.array_equal(before, view), "the view shows the step")
        with self.assertRaises(ValueError):
            view[0, 0] = 1
        with tempfile.TemporaryDirectory() as folder:
            for dtype in ("float32", "float64"):
                population, _, _ = small_population(dtype=dtype, file=os.path.join(folder, dtype))
                population.step(np.zeros(300, np.uint16))
                row = population.belief(7)
                self.assertEqual(row.dtype, np.dtype(dtype))
                self.assertTrue(np.shares_memory(row, population.belief(7)))
                np.testing.assert_array_equal(row, population.beliefs[7])
                with self.assertRaises(IndexError):
                    population.belief(300)

    def test_packed_rows_plan_like_others(self):
        plain, _, _ = small_population()
        packed, _, _ = small_population(tolerance=0.01)
        self.assertIn("packed", packed.backend)
        observations = np.random.default_rng(3).integers(0, 5, 300).astype(np.uint16)
        plain.step(observations)
        packed.step(observations)
        self.assertLess(np.abs(plain.beliefs - packed.beliefs).sum(axis=1).max(), 0.05)
        self.assertGreater(np.mean(plain.actions == packed.actions), 0.95)
        np.testing.assert_array_equal(packed.belief(4), packed.beliefs[4])
        packed.remove(4)
        self.assertEqual(packed.belief(4).sum(), 0)
        with self.assertRaises(ValueError):
            small_population(tolerance=0.01, dtype="float64")

    def test_rows_may_be_bytes_or_pairs(self):
        plain, _, _ = small_population()
        observations = np.random.default_rng(3).integers(0, 5, 300).astype(np.uint16)
        plain.step(observations)
        for rows in ("edge", "sparse", "compact"):
            packed, _, _ = small_population(rows=rows)
            packed.step(observations)
            off = np.abs(plain.beliefs - packed.beliefs).sum(axis=1)
            for slot in range(300):
                self.assertLessEqual(off[slot], packed.error_bound(slot) + 1e-5)
        with self.assertRaises(ValueError):
            small_population(rows="round")

    def test_agents_start_and_tend_in_their_own_way(self):
        population, A, _ = small_population(agents=3, own_habits=True, gamma=0.01)
        start = np.array([0, 0, 0.5, 0.5, 0, 0, 0])
        population.set_start(1, [start])
        population.set_habits(1, np.array([0, 0, 1.0]))
        population.set_habits(2, np.array([0, 1.0, 0]))
        population.step(np.full(3, 2, np.uint16))
        expected = A[2] * start
        np.testing.assert_allclose(population.belief(1), expected / expected.sum(), atol=1e-6)
        np.testing.assert_array_equal(population.actions[1:], [2, 1])
        with self.assertRaises(ValueError):
            population.set_start(1, [start])

    def test_own_models_are_followed(self):
        population, A, B = small_population(agents=4, own_models=True)
        other = np.roll(A, 1, axis=0)
        population.set_own_model(2, [other], [B])
        population.step(np.full(4, 3, np.uint16))
        np.testing.assert_allclose(population.belief(1), A[3] / A[3].sum(), atol=1e-6)
        np.testing.assert_allclose(population.belief(2), other[3] / other[3].sum(), atol=1e-6)
        with self.assertRaises(ValueError):
            population.set_own_model(2, [A[:, :3]], [B])
        shared, _, _ = small_population(agents=4)
        with self.assertRaises(ValueError):
            shared.set_own_model(2, [A], [B])

    def test_own_models_may_be_packed(self):
        full, A, B = small_population(agents=50, own_models=True)
        packed, _, _ = small_population(agents=50, own_models=True, own_storage="bfloat16")
        self.assertIn("bfloat16", packed.backend)
        other = np.roll(A, 1, axis=0)
        observations = np.random.default_rng(3).integers(0, 5, (6, 50)).astype(np.uint16)
        for population in (full, packed):
            population.set_own_model(2, [other], [B])
        for t, seen in enumerate(observations):
            for population in (full, packed):
                population.set_actions(np.full(50, t % 3, np.uint16))
                population.step(seen)
            off = np.abs(full.beliefs - packed.beliefs).sum(axis=1)
            self.assertLessEqual(off.max(), packed.error_bound(0))
            self.assertEqual(full.error_bound(0), 0)
        with self.assertRaises(ValueError):
            small_population(own_models=True, own_storage="bfloat16", dtype="float64")
        with self.assertRaises(ValueError):
            small_population(own_models=True, own_storage="int8")

    def test_learning_is_the_agents(self):
        rng = np.random.default_rng(6)
        A, B = rng.dirichlet(np.ones(4), 5).T, np.stack([rng.dirichlet(np.ones(5), 5).T for _ in range(3)], axis=-1)
        counts = dict(pA=[4 * A], pB=[2 * B], lr_pB=0.6, forgetting=0.1)
        agent = skep_belief.Agent([A], [B], **counts)
        population = skep_belief.Population([A], [B], capacity=2, dtype="float64", learning=True, **counts)
        population.add(2)
        for t, o in enumerate((1, 3, 0, 2, 2)):
            seen = np.full(2, o, np.uint16)
            population.step(seen)
            np.testing.assert_allclose(population.belief(1), agent.infer_states([o])[0], atol=1e-10)
            population.learn(seen)
            agent.update_A([o])
            agent.update_B()
            population.set_actions(np.full(2, t % 3, np.uint16))
            agent.infer_policies()
            agent.sample_action()
            agent.action = [t % 3]
        with self.assertRaises(ValueError):
            small_population(agents=2)[0].learn(np.zeros(2, np.uint16))

    def test_history_has_the_last_updates(self):
        population, _, _ = small_population(agents=2, history=3, history_beliefs=True)
        rows = []
        for o in (0, 1, 2, 3):
            population.step(np.array([o, 4], np.uint16))
            rows.append(population.belief(0).copy())
        entries = population.history(0)
        self.assertEqual([e["step"] for e in entries], [3, 2, 1])
        self.assertEqual([int(e["observation"][0]) for e in entries], [3, 2, 1])
        np.testing.assert_array_equal(entries[1]["belief"], rows[2])
        self.assertAlmostEqual(entries[0]["free_energy"], float(population.free_energy[0]), delta=2e-3)

    def test_collective_state_is_what_its_definition_says(self):
        population, _, _ = small_population(agents=4)
        sure, other = np.eye(7)[0], np.eye(7)[1]
        for slot in range(4):
            population.set_belief(slot, sure if slot < 2 else other)
        collective = skep_belief.Collective(population, groups=2)
        for slot in (2, 3):
            collective.assign(slot, 1)
        self.assertEqual(collective.update(), 4)
        self.assertEqual(collective.whole["agents"], 4)
        self.assertAlmostEqual(collective.whole["entropy"], 0)
        self.assertAlmostEqual(collective.whole["agreement"], 1 - np.log(2) / np.log(7))
        self.assertAlmostEqual(collective.group(1)["agreement"], 1)
        self.assertEqual(collective.update(), 0)
        with self.assertRaises(IndexError):
            collective.group(2)
        del population  # kept alive
        collective.update()

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
        for rows in ("full", "sparse"):
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "population")
                population, _, _ = small_population(file=path, rows=rows)
                population.step(np.full(300, 3, np.uint16))
                beliefs = population.beliefs
                del population
                again = skep_belief.Population.open(path)
                self.assertEqual(again.steps, 1)
                np.testing.assert_array_equal(again.beliefs, beliefs)


class CheaperBeliefs(unittest.TestCase):
    """A ring of places, walked with slips and seen with slips: against Bayes in numpy, within the bound promised."""

    def check(self, population, places, bound):
        near = lambda shift: 0.8 * np.roll(np.eye(places), shift, 0) + 0.1 * (
            np.roll(np.eye(places), shift + 1, 0) + np.roll(np.eye(places), shift - 1, 0))
        A, B = near(0), np.stack([near(-1), near(0), near(1)], axis=-1)
        population = population(A, B)
        slots = population.add(3)
        exact, actions = np.full((3, places), 1 / places), np.zeros(3, np.uint16)
        rng, place = np.random.default_rng(7), np.zeros(3, int)
        for t in range(20):
            place = (place + (actions.astype(int) - 1 if t else 0)) % places
            seen = ((place + rng.integers(-1, 2, 3)) % places).astype(np.uint16)
            if t == 5:
                seen[:] = skep_belief.NOT_OBSERVED
            population.step(actions, seen)
            for i in slots:
                q = B[:, :, actions[i]] @ exact[i] if t else exact[i]
                if seen[i] != skep_belief.NOT_OBSERVED:
                    q = A[seen[i]] * q
                    self.assertAlmostEqual(population.free_energy(i), -np.log(q.sum()), delta=bound)
                exact[i] = q / q.sum()
                error = np.abs(population.belief(i) - exact[i]).sum()
                self.assertLessEqual(error, population.error_bound(i) + 2e-5)
                self.assertLess(error, bound)
            actions = rng.integers(0, 3, 3).astype(np.uint16)
        with self.assertRaises(IndexError):
            population.belief(3)
        population.remove(1)
        self.assertEqual(len(population), 2)
        with self.assertRaises(IndexError):
            population.belief(1)
        with self.assertRaises(TypeError):
            population.step(np.zeros(3, int), np.zeros(3, np.uint16))
        return population

    def test_rows_in_bytes_or_bfloat16(self):
        population = self.check(lambda A, B: skep_belief.CompactPopulation([A], [B], capacity=3, tolerance=0.03), 32, 0.2)
        self.assertIn(population.format(0), ("byte", "bfloat16"))
        self.assertGreater(population.bytes, 0)

    def test_sparse_rows(self):
        population = self.check(lambda A, B: skep_belief.SparsePopulation([A], [B], capacity=3, prune=1e-6), 200, 0.01)
        self.assertFalse(population.dense(0))
        self.assertLess(population.support(0), 30)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
