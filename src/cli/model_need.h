#pragma once
// What a model takes here with given contexts, for `skep model inspect --context`: measured as the daemon does before
// it loads one, without loading it.

#include <boost/json/fwd.hpp>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "daemon/config.h"
#include "engine/messages.h"

namespace skep::cli {

struct ModelNeed {
  engine::Loaded loaded;  // what it would report
  int slots = 0;
  Bytes process;  // beside what is reported: code, vocabulary, allocator

  [[nodiscard]] Bytes total() const;
};

// `context`, `slots` 0: as the config says. `embeds`: an encoder. Fails as loading would.
Result<ModelNeed> measure_need(const std::string& path, const daemon::Config& config, int context, int slots,
                               bool embeds);

std::string need_text(const ModelNeed& need);
boost::json::object need_json(const ModelNeed& need);

}  // namespace skep::cli
