#pragma once
// How surprised a model is by a text: perplexity = exp(mean negative log-likelihood of a token). The convention is
// llama-perplexity's, so that the numbers can be compared: the text is cut into windows of `context_tokens`, BOS
// replaces the first token of each where the model wants one, and the second half of each window counts, which has seen
// at least the first.

#include <functional>
#include <string_view>

#include "base/result.h"
#include "model_tools/llama_session.h"
#include "model_tools/progress.h"

namespace skep::model_tools {

struct Perplexity {
  double value = 0;
  double error = 0;    // standard error of the value, by the deviation of the tokens' log-likelihoods
  int64_t tokens = 0;  // that counted
  int windows = 0;
};

// invalid_argument when the text is shorter than two windows; `most_windows` 0: all of it.
Result<Perplexity> perplexity(LlamaSession& session, std::string_view text, int most_windows,
                              const ProgressFn& progress);

}  // namespace skep::model_tools
