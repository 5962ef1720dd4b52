"""A key's limits hold for everything that it asks an engine for."""
import hashlib
import unittest

import box

KEY = "one-key"


class QuotaTest(unittest.TestCase):
    def test_embeddings_count_against_the_tokens_of_their_key(self):
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        with box.Daemon(f"models: {{one: {{path: {box.model('tiny')}}}}}\n"
                        f"api: {{keys: [{{name: small, role: user, sha256: {digest}, tokens_per_minute: 60}}]}}\n") as daemon:
            def embed(text):
                return daemon.post("/v1/embeddings", {"model": "one", "input": text},
                                   headers={"Authorization": "Bearer " + KEY})

            self.assertEqual(embed("pump three").status, 200)
            refused = embed("word " * 100)
            self.assertEqual(refused.status, 429, refused.body)
            self.assertIn("60 tokens per minute", refused.json["error"]["message"])
            self.assertEqual(embed("pump three").status, 200, "what was refused was not charged")
            for _ in range(30):
                if (last := embed("pump three, valve four, and line nine")).status != 200:
                    break
            self.assertEqual(last.status, 429, "what was answered was")
            # A token a second comes back, and some forty are missing.
            self.assertGreater(int(embed("word " * 40).headers["Retry-After"]), 10)


if __name__ == "__main__":
    unittest.main()
