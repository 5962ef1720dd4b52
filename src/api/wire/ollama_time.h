#pragma once
// Times as Ollama writes and reads them.

#include <boost/json/fwd.hpp>
#include <optional>
#include <string>

#include "api/wire/fields.h"
#include "base/clock.h"

namespace skep::api::wire {

std::string rfc3339(WallTime time);  // "2026-11-21T09:33:58.123456789Z"

// `keep_alive`: seconds as a number, or a duration like "5m" and "1h30m"; negative means forever (kKeepForever), 0 that
// the model is unloaded.
std::optional<Duration> read_keep_alive(Fields& body);

}  // namespace skep::api::wire
