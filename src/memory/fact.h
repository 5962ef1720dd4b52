#pragma once
// Long-term memory as its users see it: facts with text, vector, time, source and tags, and LongTerm, what keeps them.
// LocalFacts (own log, HNSW, BM25) and PostgresFacts (pgvector) implement it; the same tests run on both.
//
// A LongTerm is used by one thread at a time and its calls block: the daemon runs it on a thread of its own
// (memory_thread.h).

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"

namespace skep::memory {

using FactId = uint64_t;  // ascending in the order of adding, never used twice

// Limits of one fact. What is over them is refused, never cut.
inline constexpr size_t kMostFactText = 32U << 10U;
inline constexpr size_t kMostName = 256;  // of an agent, a source or a tag, bytes
inline constexpr size_t kMostTags = 32;

struct Fact {
  FactId id = 0;
  std::string agent;  // whose; empty: everybody's
  std::string text;
  std::string source;             // where it was learned: "conversation 17", "import"
  std::vector<std::string> tags;  // sorted, each once
  WallTime time{};                // when it was learned or last confirmed
  friend bool operator==(const Fact&, const Fact&) = default;
};

struct NewFact {
  std::string agent, text, source;
  std::vector<std::string> tags;
  WallTime time{};
  std::vector<float> vector;  // of the text; empty: only full text finds the fact
  bool verbatim = false;      // what somebody said: another wording of the same is another fact
};

struct Added {
  FactId id = 0;
  bool known = false;  // it was there already, word for word or nearly: its time and tags were renewed
  friend bool operator==(const Added&, const Added&) = default;
};

// All conditions hold together.
struct Filter {
  std::optional<std::string> agent;  // unset: anybody's
  bool with_shared = true;           // … and everybody's facts
  std::vector<std::string> tags;     // all of them
  std::optional<WallTime> from, to;  // learned in [from, to)
  [[nodiscard]] bool matches(const Fact& fact) const;
};

// How what words found and what vectors found become one list (scoring.h).
enum class Blend {
  weighted,  // by how well they fit: scores can be compared, an embedder that means little drowns the words
  ranks,     // by their places in the two lists: the best of either is among the first, whatever the other says
};

struct Query {
  std::string text;           // for full text; empty: vector alone
  std::vector<float> vector;  // of the text; empty: full text alone
  Filter filter;
  size_t limit = 5;        // at most kMostHits
  double least_score = 0;  // of what is returned
  WallTime now{};          // ages are counted from here
  Blend blend = Blend::weighted;
};
inline constexpr size_t kMostHits = 200;

struct Hit {
  Fact fact;
  double score = 0;       // what hits are ordered by (scoring.h), 0..1
  double similarity = 0;  // cosine with the query; 0 when either has no vector
  double text_score = 0;  // BM25, relative to the best of this search
};

struct LongTermStatistics {
  size_t facts = 0;
  size_t vectors = 0;
  size_t dimensions = 0;  // 0: no vector yet
  std::string embedder;   // whose vectors they are
  size_t unindexed = 0;   // found by scanning until the index has caught up
  Bytes disk, memory;
  std::vector<std::string> problems;  // what was damaged when it was opened
};

// How soon a change is safe from a power cut. A killed process loses nothing either way.
enum class Durability {
  process,  // sync() decides; the daemon calls it ten times a second
  power,    // each change before it is acknowledged
};

class LongTerm {
 public:
  virtual ~LongTerm() = default;

  // All or none. Vectors have the length that use_embedder() named; invalid_argument otherwise.
  virtual Result<std::vector<Added>> add(std::vector<NewFact> facts) = 0;
  virtual Result<std::vector<Hit>> search(const Query& query) = 0;
  // In the order of their ids, those after `after`.
  virtual Result<std::vector<Fact>> list(const Filter& filter, FactId after, size_t limit) = 0;
  // When this returns, nothing of the facts is left on disk. Returns how many they were.
  virtual Result<size_t> forget(const std::vector<FactId>& ids) = 0;
  virtual Result<size_t> forget(const Filter& filter) = 0;
  // Whose vectors come from now on, and how long they are. Those of another embedder can't be compared with them: they
  // are dropped, and their facts stand in without_vector() until set_vectors() gives them new ones.
  virtual Status use_embedder(const std::string& identity, size_t dimensions) = 0;
  // In the order of their ids, those after `after`.
  virtual Result<std::vector<Fact>> without_vector(size_t limit, FactId after) = 0;
  virtual Status set_vectors(const std::vector<std::pair<FactId, std::vector<float>>>& vectors) = 0;
  virtual Status sync() = 0;
  virtual Result<LongTermStatistics> statistics() = 0;
  // Work that can wait for an idle moment, some milliseconds of it. False: there is none.
  virtual bool work() { return false; }
};

// Refuses what is over the limits, sorts tags and removes doubles.
Status check(NewFact& fact);

}  // namespace skep::memory
