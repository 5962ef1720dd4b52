#pragma once
// Where engines keep the contexts of agents that wait (doc/parked.md): state_folder/parked/<hash of the model>.

#include <map>
#include <string>
#include <vector>

#include "agent/agent_state.h"
#include "daemon/config.h"

namespace skep::daemon {

std::string parked_folder(const Config& config, const std::string& model_hash);

// Removes the folders of models that are not among `hashes` and that nobody has written to for a week. Blocking; what
// can't be removed stays.
void sweep_parked(const Config& config, const std::vector<std::string>& hashes);

// Whose the parked contexts are, by their files' headers: files by agent. Those that several agents share, or that
// belong to no agent, are left out. Blocking; reads no cells.
using ParkedFiles = std::map<std::string, agent::ParkedCells>;
std::map<std::string, ParkedFiles> parked_by_agent(const std::string& parked);  // state_folder/parked

// Without those that are gone, or are another entry's by now. Blocking.
ParkedFiles still_parked(const std::string& parked, const ParkedFiles& noted);

}  // namespace skep::daemon
