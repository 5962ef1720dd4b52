#pragma once
// What processes really hold, as the kernel counts it: the proportional set size (PSS), in which a page shared by n
// processes counts 1/n in each, so that sums over a tree of processes count every page once. The page cache of a file
// that nobody has mapped is not in it.
//
// Reading walks the page tables (some milliseconds for gigabytes): call it in the event loop's blocking pool.

#include <string>

#include "base/result.h"
#include "base/units.h"

namespace skep::model {

// From <proc>/<pid>/smaps_rollup; not_found when the process is gone, io when it may not be read.
Result<Bytes> process_memory(int process_id, const std::string& proc = "/proc");

// The process and all its descendants. Those that end while we look are left out.
Result<Bytes> process_tree_memory(int process_id, const std::string& proc = "/proc");

}  // namespace skep::model
