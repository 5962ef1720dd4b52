#pragma once
// A damaged state.mdb is made whole again before LMDB sees it: what can be read goes into a fresh file that takes its
// place, what can't be is noted there as ranges of keys, and the damaged file is kept beside it. Killed at any moment,
// the next start begins anew. For Store::open() alone; with the folder's lock held.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/tree_file.h"

namespace skep::store {

struct Salvage {
  std::vector<std::string> damage;  // "page 17: …"
  uint64_t records = 0;             // that could be read
  std::string kept;                 // the damaged file
};

// Nothing: state.mdb is whole, or not there. unavailable: no room for the fresh file; corrupt: nothing can be read.
Result<std::optional<Salvage>> mend_tree(const std::string& folder);

// The value of the record that says what may be missing.
std::string encode_ranges(const std::vector<KeyRange>& ranges);
std::vector<KeyRange> decode_ranges(std::string_view bytes);
// The ranges without the keys that begin with `prefix`, which doesn't end in 0xff.
std::vector<KeyRange> without(const std::vector<KeyRange>& ranges, const std::string& prefix);

}  // namespace skep::store
