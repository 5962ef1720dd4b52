#pragma once
// The demo's models: those that the config's tiers find, else the small ones of models/, else files with random weights
// made on the spot (they cost what real ones cost and say nothing sensible; the demo says so).

#include <string>

#include "daemon/config.h"

namespace skep::cli {

struct DemoModels {
  bool random_weights = false;
};
Result<DemoModels> prepare_demo_models(daemon::Config& config, const std::string& folder);

}  // namespace skep::cli
