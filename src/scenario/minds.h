#pragma once
// The minds of a scenario's population: a belief population made as its config says, each agent with the D and E that
// are its own. Internal to scenario/.

#include <memory>

#include "base/result.h"
#include "mind/belief/population.h"
#include "scenario/scenario.h"

namespace skep::scenario {

// `model`: of the world. Errors name the population. All agents are in it.
Result<std::unique_ptr<belief::Population>> make_minds(const PopulationConfig& config, belief::GenerativeModel model,
                                                       uint64_t seed, kernel::ThreadPool& pool);

}  // namespace skep::scenario
