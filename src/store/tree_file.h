#pragma once
// An LMDB file, read without LMDB: every page is looked at with suspicion before something is made of it. LMDB trusts
// its pages; a damaged one makes it abort, read beyond the map, or miss keys silently. What is found here can be put
// into a new file (salvage.h).
//
// Found: pages whose number, kind or extent is not what their place asks for, nodes that don't fill their page exactly,
// keys that stand outside of their page's bounds or out of order, pages that are free and in use at once, counts that
// differ from the meta page's. Records are not looked into: their own checksums tell (record.h).
//
// Under a damaged branch page its leaves are still there: pages that are neither free nor reached are looked through
// for them. If all leaves and entries that the meta page counts come together so, nothing is lost.
//
// Format: LMDB 0.9 (mdb.c: MDB_meta, MDB_page, MDB_node), 64 bits, little-endian. One thread. Reads each page once.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skep::store {

// Keys that may have stood where nothing can be read: from <= key < to; without `to`, all that follow.
struct KeyRange {
  std::string from;
  std::optional<std::string> to;

  [[nodiscard]] bool meets(std::string_view prefix) const;  // a key that begins so may be in it
  friend bool operator==(const KeyRange&, const KeyRange&) = default;
};

struct TreeReport {
  std::vector<std::string> damage;  // "page 17: …", at most 100; empty: the tree is whole
  std::vector<KeyRange> lost;       // in order
  uint64_t entries = 0;             // that could be read
};

// Calls `each`, if there is one, with every record that can be read, in no particular order; an error of it ends the
// walk. corrupt: no
// meta page is left, so nothing is known; io; unsupported: another LMDB's.
Result<TreeReport> read_tree(const std::string& path,
                             const std::function<Status(std::string_view key, std::string_view record)>& each);

}  // namespace skep::store
