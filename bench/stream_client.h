#pragma once
// Streamed chat completions with the time at which every token arrived: the same client for every server that is
// compared. All streams live on one thread.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace skep::bench {

struct StreamRequest {
  std::string body;             // for POST /v1/chat/completions, with "stream": true
  Duration delay{};             // after the start, or after the end of `after`
  std::optional<size_t> after;  // sent once that request has ended
  bool background = false;      // hung up when all others have ended
};

struct StreamAnswer {
  int status = 0;                // 0: no answer
  Duration sent{}, ended{};      // since the start of the run
  std::vector<Duration> tokens;  // arrivals of events with content, likewise
  [[nodiscard]] Duration first_token() const { return tokens.empty() ? ended - sent : tokens.front() - sent; }
};

// Plays all requests; answers in their order.
std::vector<StreamAnswer> play_streams(uint16_t port, const std::vector<StreamRequest>& requests);

}  // namespace skep::bench
