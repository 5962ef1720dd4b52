#pragma once
// llama-bench and llama-batched-bench as child processes, one measurement at a time.

#include <string>

#include "base/result.h"

namespace skep::bench {

class LlamaPeer {
 public:
  LlamaPeer(std::string tools, int threads) : tools_(std::move(tools)), threads_(threads) {}
  [[nodiscard]] bool available() const;

  // Tokens per second.
  [[nodiscard]] Result<double> prefill(const std::string& model, int tokens) const;
  [[nodiscard]] Result<double> decode(const std::string& model, int sequences, int prompt, int tokens) const;

 private:
  std::string tools_;
  int threads_;
};

}  // namespace skep::bench
