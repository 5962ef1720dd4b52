#pragma once
// A generative model as bytes, bit for bit: how the population file carries it. Little-endian; doc/population-file.md.
// Internal to mind/belief.

#include <span>
#include <vector>

#include "mind/belief/model.h"

namespace skep::belief {

std::vector<std::byte> write_model_blob(const GenerativeModel& model);
// Refuses what is cut short, has lengths beyond its own size, or is no valid model.
Result<GenerativeModel> read_model_blob(std::span<const std::byte> bytes);

}  // namespace skep::belief
