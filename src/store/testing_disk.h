#pragma once
// For tests: a disk that fails. Linked into a test, it takes the place of the C library's calls by which files are
// written and synced, for the store and for LMDB alike; while armed, some of them fail, or stop halfway.

#include <atomic>
#include <cstdint>
#include <functional>

namespace skep::store {

struct TestingDisk {
  // One of so many writes fails with EIO or ENOSPC or writes a part only, and one of so many syncs fails; 0: none.
  static std::atomic<uint32_t> bad_writes, bad_syncs;
  static std::atomic<int64_t> syncs, faults;
  // Called before each fdatasync, on its thread.
  static std::function<void()> before_sync;
  static void seed(uint64_t seed);
  static void heal() { bad_writes = bad_syncs = 0; }
};

}  // namespace skep::store
