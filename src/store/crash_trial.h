#pragma once
// Kills a writing process again and again and looks at what it left: for the tests and for `skep bench store`.
//
// Each child opens the store, checks what the ones before it left, and writes update after update of several records
// that belong together: (n, n's halves, a running sum). It tells its parent of each acknowledged update through a pipe,
// and is killed with SIGKILL after a random time. The store is checked by the next child, and by the parent at the end.
//
// Forks: to be called while the process has one thread.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "store/store.h"

namespace skep::store {

struct CrashOptions {
  std::string folder;
  int trials = 50;
  uint64_t seed = 1;
  Durability durability = Durability::batched;
  Duration longest = std::chrono::milliseconds(120);  // a child's life, at most; flushes come every 50 ms
};

struct CrashResult {
  int64_t acknowledged = 0;
  int64_t lost = 0;        // acknowledged and not there
  int64_t torn = 0;        // an update of which only a part is there, or a record that fails its checks
  int killed_writing = 0;  // children that were killed after their first acknowledgement
};

class CrashTrials {
 public:
  explicit CrashTrials(CrashOptions options) : options_(std::move(options)) {}
  Result<CrashResult> run();

 private:
  CrashOptions options_;
};

}  // namespace skep::store
