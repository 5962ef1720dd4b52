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

// Removes every entry that may hold a word of the agent. Blocking; no engine may be writing. io: something is still
// there. What stays is what the agent has no part in, or no part of its own:
//
//   owner        stays
//   the agent    never
//   another      always: all its tokens, those before the entry too, were that one's
//   nobody's     where it is public; and where another's entry, which stays, begins with all its tokens, so that
//   keeping
//                it keeps nothing that is not kept anyway (a preamble that several share)
//
// What is half written, damaged or of another format may be anybody's, and goes.
Status forget_parked(const std::string& parked, const std::string& agent);

}  // namespace skep::daemon
