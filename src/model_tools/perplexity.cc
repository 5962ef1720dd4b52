#include "model_tools/perplexity.h"

#include <algorithm>
#include <cmath>

namespace skep::model_tools {

Result<Perplexity> perplexity(LlamaSession& session, std::string_view text, int most_windows,
                              const ProgressFn& progress) {
  const int length = session.context_tokens();
  const int first = length / 2;
  std::vector<Token> tokens = session.tokenize(text, true);
  int windows = static_cast<int>(tokens.size() / static_cast<size_t>(length));
  if (windows < 2) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the text has {} tokens, fewer than two windows of {}", tokens.size(), length),
                "take a longer text or a smaller --context");
  }
  if (most_windows > 0) windows = std::min(windows, most_windows);

  double sum = 0, squares = 0;
  Perplexity result;
  for (int w = 0; w < windows; ++w) {
    const std::span<Token> window(tokens.data() + static_cast<size_t>(w) * static_cast<size_t>(length),
                                  static_cast<size_t>(length));
    const Token replaced = window[0];
    if (session.adds_bos() && session.bos() >= 0) window[0] = session.bos();
    SKEP_CHECK(session.evaluate(window, [&](int i) { return i >= first && i + 1 < length; }));
    window[0] = replaced;
    for (int i = first; i + 1 < length; ++i) {
      const double loss = -log_probability(session.logits(i), window[static_cast<size_t>(i) + 1]);
      sum += loss;
      squares += loss * loss;
      ++result.tokens;
    }
    ++result.windows;
    const auto n = static_cast<double>(result.tokens);
    result.value = std::exp(sum / n);
    const double variance = squares / n - (sum / n) * (sum / n);
    result.error = result.value * std::sqrt(std::max(0.0, variance) / n);
    if (!proceed(progress, {"perplexity", static_cast<double>(w + 1) / windows, fmt::format("{:.4g}", result.value)})) {
      return fail(ErrorCode::cancelled, "stopped");
    }
  }
  return result;
}

}  // namespace skep::model_tools
