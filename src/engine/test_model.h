#pragma once
// A tiny GGUF with random weights, made on the fly, for tests against the real libllama: llama architecture, F32, a
// byte-level SPM vocabulary with a few words, and the chatml template.

#include <cstdint>
#include <string>

namespace skep::engine {

struct TestModel {
  int words = 256;  // beside the 3 special and 256 byte tokens and the template's own
  int embedding = 64;
  int layers = 2;
  int heads = 4;
  int kv_heads = 2;
  int feed_forward = 96;
  int context = 1024;
  float spread = 0.5F;  // standard deviation of the weights times sqrt(rows): larger, and the logits are less flat
  uint32_t seed = 1;
  bool chat_template = true;
  const char* template_text = nullptr;  // instead of chatml
};

// Writes the file and returns its path in the temporary directory; the same model is written once per process.
std::string write_test_model(const TestModel& model = {});

}  // namespace skep::engine
