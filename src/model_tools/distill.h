#pragma once
// A teacher's answers as training data for a smaller model. The teacher may be anything that answers: a GGUF file here
// or a model behind an OpenAI-compatible or Ollama server. The student then trains on them (train.h); where both share
// a vocabulary, TrainOptions::teacher gives it the teacher's probabilities instead, which say more.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "model_tools/answers.h"
#include "model_tools/progress.h"

namespace skep::model_tools {

struct CollectOptions {
  AnswererOptions teacher;
  std::string questions;  // a task file; answers in it are optional
  std::string output;     // a task file with the teacher's answers. What is in it already is not asked again
  int max_tokens = 256;
  bool only_right = false;  // keep an answer only where it is the one that `questions` gives
};

struct CollectReport {
  int64_t questions = 0;  // in the file
  int64_t known = 0;      // answered by an earlier call
  int64_t kept = 0, wrong = 0, failed = 0;
};

// Appends each answer as it comes, so that an interrupted call costs at most the answers under way.
Result<CollectReport> collect_answers(const CollectOptions& options, const ProgressFn& progress);

}  // namespace skep::model_tools
