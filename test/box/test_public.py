"""API keys share what the configuration calls public, and nothing else."""
import hashlib
import unittest

import box

PREAMBLE = "You are one specialist in a house of several. Answer the question that was asked, in plain words. " * 6
SECRET = "The code of the north gate is four seven one nine, and nobody else may ever hear of it. " * 6


def daemon(public, roster=None):
    keys = ", ".join(f"{{name: {name}, role: user, sha256: {hashlib.sha256(name.encode()).hexdigest()}}}"
                     for name in ("ada", "bob"))
    texts = f'["{PREAMBLE}"]' if public else "[]"
    return box.Daemon(f"models: {{one: {{path: {box.model('tiny')}}}}}\n"
                      f"engines: {{context: 1024, public_preambles: {texts}}}\n"
                      f"api: {{keys: [{keys}]}}\n")


def usage(daemon, key, system, question="What is the code?"):
    answer = daemon.post("/v1/chat/completions",
                         {"model": "one", "max_tokens": 2, "temperature": 0,
                          "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}]},
                         headers={"Authorization": "Bearer " + key})
    assert answer.status == 200, answer.body
    return answer.json["usage"]["prompt_tokens"], answer.json["usage"]["prompt_tokens_details"]["cached_tokens"]


class PublicPreambleTest(unittest.TestCase):
    def test_two_keys_share_the_public_preamble_and_no_more(self):
        with daemon(public=True) as d:
            alone, _ = usage(d, "bob", PREAMBLE, "")
            with_secret, cached = usage(d, "ada", PREAMBLE + SECRET)
            self.assertLessEqual(cached, alone, "what bob's first request left")
            _, shared = usage(d, "bob", PREAMBLE + SECRET)
            self.assertGreater(shared, alone // 2)
            self.assertLess(shared, alone, "although ada asked the very same")
            _, again = usage(d, "bob", PREAMBLE + "Something else entirely, and for bob alone.")
            self.assertIn(again - shared, range(4), "the same, and what of bob's own stands where the preamble ends")
            _, own = usage(d, "ada", PREAMBLE + SECRET)
            self.assertGreaterEqual(own, with_secret - 2, "her own")

    def test_nothing_is_shared_without_it(self):
        with daemon(public=False) as d:
            usage(d, "ada", PREAMBLE + SECRET)
            self.assertEqual(usage(d, "bob", PREAMBLE + SECRET)[1], 0)


if __name__ == "__main__":
    unittest.main()
