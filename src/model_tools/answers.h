#pragma once
// Many questions to one model, wherever it is: a GGUF file in a worker of ours, batched as the daemon would, or a model
// on a server that speaks the OpenAI or the Ollama API. What evaluation asks the model under test and distillation its
// teacher.

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/messages.h"

namespace skep::model_tools {

struct AnswererOptions {
  std::string model;        // a GGUF file, or with `url` the model's name there
  std::string url;          // of a server; empty: a worker here
  std::string api_key_env;  // the variable that holds the server's key
  int context_tokens = 2048;
  int slots = 8;  // questions at once
  int threads = 0;
  std::string forward = "auto";  // native, llama: of the worker's two forward passes
  std::string executable = "/proc/self/exe";
  std::vector<std::string> arguments = {"engine", "--fd", "3"};
};

struct GivenAnswer {
  std::string text;
  engine::Finished finished;
};

struct Interview {
  size_t questions = 0;
  // The i-th question; called once for each, in order, shortly before it is asked. The engine is known by then.
  std::function<engine::Generate(size_t i, const engine::Loaded& engine)> ask;
  // Its answer, or why there is none; in any order. False: no more questions, the rest is cancelled.
  std::function<bool(size_t i, const Result<GivenAnswer>& answer)> heard;
};

// Blocks until all is answered. Fails when the engine can't be started or dies; a question that fails by itself does
// not end the rest. cancelled: heard() said so.
Status interview(const AnswererOptions& options, const Interview& interview);

}  // namespace skep::model_tools
