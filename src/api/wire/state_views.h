#pragma once
// Memory, cache and log as JSON, for the control API. Times are RFC 3339, UTC.

#include <string>
#include <vector>

#include "api/state_backend.h"

namespace skep::api::wire {

std::string state_memory(const MemoryView& view);
std::string state_cache(const CacheView& view);
std::string state_backup(const BackupView& view);
std::string state_log(const std::vector<store::Event>& events);

// "2026-11-21T12:00:00Z" with or without a fraction, or a duration that counts back from now: "15m", "2d".
Result<WallTime> parse_moment(std::string_view text, WallTime now);

}  // namespace skep::api::wire
