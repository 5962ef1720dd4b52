#include "memory/retention.h"

namespace skep::memory {
namespace {
constexpr size_t kPage = 1000;  // facts at once
}  // namespace

Result<size_t> keep_newest(LongTerm& store, const Filter& filter, size_t most, WallTime oldest) {
  Filter aged = filter;
  aged.to = oldest;
  SKEP_TRY(const auto too_old, store.list(aged, 0, 1));
  size_t gone = 0;
  if (!too_old.empty()) {
    SKEP_TRY(gone, store.forget(aged));
  }
  std::vector<FactId> ids;  // ascending: in the order of their adding
  for (FactId after = 0;;) {
    SKEP_TRY(const auto facts, store.list(filter, after, kPage));
    if (facts.empty()) break;
    for (const Fact& fact : facts) ids.push_back(fact.id);
    after = ids.back();
  }
  if (ids.size() <= most + most / 10) return gone;
  ids.resize(ids.size() - most);
  SKEP_TRY(const size_t over, store.forget(ids));
  return gone + over;
}

}  // namespace skep::memory
