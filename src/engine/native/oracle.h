#pragma once
// libllama on the same file, for the tests: what our logits are compared with.

#include <llama.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/messages.h"

namespace skep::engine::native {

class Oracle {
 public:
  explicit Oracle(const std::string& path, int context = 512);
  [[nodiscard]] bool loaded() const { return context_ != nullptr; }
  std::vector<Token> tokenize(const std::string& text);
  // Logits after every token, [tokens][vocabulary].
  std::vector<std::vector<float>> logits(std::span<const Token> tokens);

 private:
  struct Free {
    void operator()(llama_model* m) const { llama_model_free(m); }
    void operator()(llama_context* c) const { llama_free(c); }
  };
  std::unique_ptr<llama_model, Free> model_;
  std::unique_ptr<llama_context, Free> context_;
};

// sqrt(Σ (a - b)²) / sqrt(Σ b²).
double relative_error(std::span<const float> a, std::span<const float> b);

}  // namespace skep::engine::native
