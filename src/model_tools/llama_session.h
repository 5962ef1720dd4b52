#pragma once
// A model open in libllama, for tools that need its activations, its logits or its gradients: in this process, without
// the engine above it. One sequence, evaluated from its beginning, window by window.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model_tools/progress.h"

struct llama_model;
struct llama_context;
struct ggml_tensor;

namespace skep::model_tools {

using Token = int32_t;

struct SessionOptions {
  int context_tokens = 512;  // clamped to what the model was trained for
  int batch_tokens = 512;
  int threads = 0;  // 0: one per core
  // For llama_opt: weights in memory of our own instead of mapped or repacked, F32 KV cache, no flash attention.
  bool trainable = false;
  // Asked of every operation's result (second argument true): is it wanted? Then called again with its data there.
  // The data is only readable in that call.
  std::function<bool(ggml_tensor*, bool ask)> observe;
};

class LlamaSession {
 public:
  // not_found, corrupt, invalid_argument (a model that can't generate), out_of_memory.
  static Result<std::unique_ptr<LlamaSession>> open(const std::string& path, SessionOptions options);
  // Another session over the same weights, as they are at each evaluation. out_of_memory.
  static Result<std::unique_ptr<LlamaSession>> beside(const LlamaSession& other, SessionOptions options);
  ~LlamaSession();
  LlamaSession(const LlamaSession&) = delete;
  LlamaSession& operator=(const LlamaSession&) = delete;

  [[nodiscard]] llama_model* model() const;
  [[nodiscard]] llama_context* context() const;
  [[nodiscard]] int context_tokens() const;
  [[nodiscard]] int layers() const;
  [[nodiscard]] int vocabulary() const;
  [[nodiscard]] bool adds_bos() const;
  [[nodiscard]] Token bos() const;  // -1: it has none
  [[nodiscard]] Token eot() const;  // that ends a turn; -1: none

  // `special`: control tokens in the text are taken as such, and BOS comes first where the model wants it and the text
  // is a beginning.
  [[nodiscard]] std::vector<Token> tokenize(std::string_view text, bool special, bool beginning = true) const;

  // Forgets what was evaluated and evaluates `window` (at most context_tokens()) with logits where wants_logits(i).
  Status evaluate(std::span<const Token> window, const std::function<bool(int)>& wants_logits);
  // Of position i of the last window, vocabulary() values; i had logits.
  [[nodiscard]] std::span<const float> logits(int i) const;

 private:
  LlamaSession() = default;
  struct State;
  Status start(SessionOptions options);  // the context, of a model that is there
  std::unique_ptr<State> state_;
};

// For what observes: evaluates the text in whole windows, at most `most_windows` of them (0: all). Of each only every
// kLogitsEvery-th position gets logits: those alone reach the end of the last layer and the output matrix, which is the
// widest. invalid_argument: the text is shorter than a window; cancelled: by `progress`, told `what`.
constexpr int kLogitsEvery = 8;
Status observe_text(LlamaSession& session, std::string_view text, int most_windows, const std::string& what,
                    const ProgressFn& progress);

// The natural logarithm of the probability of `token` under `logits`.
double log_probability(std::span<const float> logits, Token token);

// A text file, whole: what tools measure on. too_large beyond 256 MiB.
Result<std::string> read_text(const std::string& path);

}  // namespace skep::model_tools
