"""Model tools from the file to the answer."""
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import box


class ToolsTest(unittest.TestCase):
    """What the tools make is what the daemon serves."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="skep-box-tools-"))
        lines = (f"pump {i % 7} reads {i * 31 % 101} over limit {i * 17 % 97}\n" for i in range(600))
        (self.folder / "text").write_text("".join(lines))
        self.tool("synth", "--shape", "tiny", "--type", "F32", "-o", "base.gguf")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def tool(self, *arguments):
        done = subprocess.run([box.skep, "model", *arguments], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def daemon(self, config=""):
        return box.Daemon(f"model_folders: [{self.folder}]\nmemory: {{budget: 2GiB}}\n{config}")

    def said(self, daemon, model, **more):
        answer = daemon.chat(model, "pump 3 reads", **more)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json["choices"][0]["message"]["content"]

    def tune(self):
        self.tool("train", "text", "--model", "base.gguf", "--only", "ffn_down", "-o", "tuned.gguf", "--steps", "30",
                  "--learning-rate", "0.003")

    def test_a_quantized_model_is_served(self):
        self.tool("quantize", "base.gguf", "small.gguf", "--type", "Q8_0", "--imatrix-text", "text")
        self.assertLess((self.folder / "small.gguf").stat().st_size, (self.folder / "base.gguf").stat().st_size / 2)
        with self.daemon() as daemon:
            self.said(daemon, "small")
            described = daemon.post("/api/show", {"model": "small"}).json["details"]
            self.assertEqual(described["quantization_level"], "Q8_0")

    def test_a_patched_model_is_the_new_one_to_the_byte_and_replaces_the_one_that_is_served(self):
        self.tune()
        shutil.copy(self.folder / "tuned.gguf", self.folder / "wanted")
        with self.daemon() as daemon:
            old, new = self.said(daemon, "base"), self.said(daemon, "tuned")
            self.assertNotEqual(old, new)
            self.tool("diff", "base.gguf", "tuned.gguf", "-o", "delta")
            self.assertLess((self.folder / "delta").stat().st_size, (self.folder / "wanted").stat().st_size / 2)
            (self.folder / "tuned.gguf").unlink()
            self.tool("patch", "base.gguf", "delta", "-o", "base.gguf")
            self.assertEqual((self.folder / "base.gguf").read_bytes(), (self.folder / "wanted").read_bytes())
            self.assertIn(self.said(daemon, "base"), (old, new))  # the engine keeps the file that it has open
        with self.daemon() as daemon:
            self.assertEqual(self.said(daemon, "base"), new)

    def test_an_adapter_makes_of_the_base_what_it_was_extracted_from(self):
        self.tune()
        self.tool("adapter", "extract", "base.gguf", "tuned.gguf", "pumps.gguf", "--rank", "64")
        self.tool("adapter", "merge", "base.gguf", "pumps.gguf", "merged.gguf")
        with self.daemon("engines: {adapters: [pumps], forward: llama}\n") as daemon:
            base, tuned = self.said(daemon, "base"), self.said(daemon, "tuned")
            self.assertNotEqual(base, tuned)
            self.assertEqual(self.said(daemon, "merged"), tuned)
            self.assertEqual(self.said(daemon, "base", adapter="pumps"), tuned)
            self.assertEqual(self.said(daemon, "base"), base)


if __name__ == "__main__":
    unittest.main()
