#pragma once
// Where engines keep the contexts of agents that wait (doc/parked.md): state_folder/parked/<hash of the model>.

#include <string>
#include <vector>

#include "daemon/config.h"

namespace skep::daemon {

std::string parked_folder(const Config& config, const std::string& model_hash);

// Removes the folders of models that are not among `hashes` and that nobody has written to for a week. Blocking; what
// can't be removed stays.
void sweep_parked(const Config& config, const std::vector<std::string>& hashes);

}  // namespace skep::daemon
