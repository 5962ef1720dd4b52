#pragma once
// Sends many HTTP requests at once and waits for all answers: the same client for every server that is compared.

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace skep::bench {

struct LoadRequest {
  std::string target;  // "/v1/chat/completions"
  std::string body;
  Duration delay{};  // sent so long after the start
};

struct LoadAnswer {
  int status = 0;  // 0: no answer
  std::string body;
  Duration latency{};     // from its sending to its end
  Duration first_byte{};  // of the body
};

struct LoadResult {
  std::vector<LoadAnswer> answers;  // in the order of the requests
  Duration wall{};
};

// At most `concurrency` at once, each on a connection of its own that is kept for the next request.
LoadResult send_all(uint16_t port, const std::vector<LoadRequest>& requests, int concurrency);

}  // namespace skep::bench
