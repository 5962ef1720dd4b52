#pragma once
// Bounds for facts that nobody chose to remember: archives of conversations that have no name.

#include "memory/fact.h"

namespace skep::memory {

// Forgets what was learned before `oldest`, and, once there are a tenth more than `most`, the oldest of the rest down
// to `most`: forgetting costs about the same for one fact as for many. Returns how many went.
Result<size_t> keep_newest(LongTerm& store, const Filter& filter, size_t most, WallTime oldest);

}  // namespace skep::memory
