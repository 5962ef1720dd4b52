#pragma once
// libllama as a process-wide library: started once, its log kept instead of printed.

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace skep::engine {

// Loads the backends and takes over the log. Any number of calls; unavailable where there is no CPU backend.
Status start_llama();

// libggml has a backend for a GPU that is here. After start_llama().
bool has_gpu();

// The last lines that libllama logged as errors or warnings since the last call, at most a few hundred bytes: what goes
// into the message of a failure that it reports as a bare null.
std::string take_llama_errors();

// Hears everything that libllama logs, on the thread that logs it, while this object lives: for what it tells in no
// other way, such as how far a quantization is. One at a time.
class LlamaListener {
 public:
  explicit LlamaListener(std::function<void(std::string_view)> heard);
  ~LlamaListener();
  LlamaListener(const LlamaListener&) = delete;
  LlamaListener& operator=(const LlamaListener&) = delete;
};

}  // namespace skep::engine
