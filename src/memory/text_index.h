#pragma once
// Full text of facts: an inverted index in memory, from words to the facts that have them, ranked by BM25 (Robertson
// and Zaragoza 2009). It is made from the facts when they are read and stands in no file.
//
// A search is exact and looks at few of the postings (MaxScore, Turtle and Flood 1995): the query's words are ordered
// by the most that each can add to a score. Once the common ones together can't lift a fact into the best so far, they
// bring up no fact by themselves any more; they are only asked about those that the rarer words bring up.
//
// One thread at a time. Memory: 8 bytes for each word of each fact, about 100 for each different word.

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "memory/fact.h"

namespace skep::memory {

class TextIndex {
 public:
  struct Match {
    FactId id = 0;
    double bm25 = 0;  // above 0, better is higher
  };

  static constexpr size_t kMostWords = 32;  // of a query, the rarest

  TextIndex();
  TextIndex(TextIndex&&) noexcept;
  TextIndex& operator=(TextIndex&&) noexcept;
  ~TextIndex();

  void add(const Fact& fact);  // its id is not in yet
  // `fact` as it was added. It is found no more; that it had its words is forgotten by sweep().
  void erase(const Fact& fact);
  // What is left of erased facts goes. Costs about a nanosecond a posting; erase() calls it now and then.
  void sweep();

  // Facts that have any word of `text`, of this agent (and shared ones) and with these tags if the filter says so;
  // times are not looked at. The best first. `accept`, if any, has the last word on a fact that would be among them.
  [[nodiscard]] std::vector<Match> search(std::string_view text, const Filter& filter, size_t limit,
                                          const std::function<bool(FactId)>& accept = {}) const;

  [[nodiscard]] size_t size() const;
  [[nodiscard]] Bytes memory() const;  // about

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::memory
