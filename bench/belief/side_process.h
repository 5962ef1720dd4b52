#pragma once
// The memory of a whole process that holds a population.

#include <functional>

#include "base/result.h"
#include "base/units.h"

namespace skep::bench {

// Forks, runs `work` in the child, and returns the most memory that the child had resident. Call it before the parent
// has allocated much or started threads: what the parent holds counts.
Result<Bytes> resident_after(const std::function<bool()>& work);

}  // namespace skep::bench
