#pragma once
// The statements that PostgresFacts searches with, and which words they look for. Pure: what runs them is
// postgres_facts.cc.
//
// One statement answers a search, in one round trip. It counts first how many facts the filter leaves, in an index and
// no further than it has to:
//
//   few ──▶ these facts, one after another: exact distances, every word weighed
//   many ─▶ along the vectors' graph (HNSW), filtering on the way;  and  the facts of the rarest words (GIN)
//
// A filter that leaves one fact in a hundred costs the graph a hundred facts for each that is found, and each of them
// is read from the table: reading those hundredth directly is sooner done (worth_scanning()).
//
// Words are weighed by how few facts have them, as BM25 does (inverse document frequency). The server knows that of the
// common ones, from its own statistics. A fact that has none of the rarest words weighs less than those that have, so
// the common ones bring up no fact by themselves where rarer ones bring enough.

#include <string>
#include <unordered_map>
#include <vector>

#include "memory/fact.h"
#include "store/postgres_connection.h"

namespace skep::memory {

// In how many facts a word is, about: what ANALYZE last found.
class WordFrequencies {
 public:
  WordFrequencies() = default;  // nothing is known: every word is as rare as any
  static store::PgStatement statement();
  static Result<WordFrequencies> from(const store::PgRows& answer);

  [[nodiscard]] bool known() const { return !common_.empty(); }
  [[nodiscard]] double facts() const { return facts_; }
  [[nodiscard]] double facts_with(const std::string& word) const;
  [[nodiscard]] double weight(const std::string& word) const;

 private:
  double facts_ = 0;  // all of them
  double least_ = 0;  // of the common words: any other is in fewer
  std::unordered_map<std::string, double> common_;
};

// The words of a search, the rarest first.
struct SearchWords {
  struct Word {
    std::string word;
    double weight = 0;
  };
  std::vector<Word> all;
  size_t rare = 0;    // the first: every fact that has one of them is weighed
  size_t common = 0;  // of those after them, 0 or 1: some of its facts are weighed, too, as the rare are in too few

  static constexpr size_t kMost = 16;       // of a query
  static constexpr size_t kWeighed = 1000;  // facts that the rare words may bring up; and that a common one may
};
SearchWords choose_words(const std::string& text, const WordFrequencies& frequencies, size_t candidates);

// How many facts are read one by one rather than walked to along the graph. From the costs of the two, measured at 384
// dimensions: 4 µs a fact that is read, 10 µs one that is visited; to find 48 that pass the filter, 48 · facts / left
// are visited.
size_t worth_scanning(double facts);

struct FactSearch {
  const std::vector<float>* vector = nullptr;  // none: by words alone
  size_t dimensions = 0;                       // of the vectors that are compared
  SearchWords words;                           // none: by the vector alone
  const Filter* filter = nullptr;
  size_t candidates = 0;  // of each kind
  size_t scan_at_most = 0;
  bool scan = false;  // however many the filter leaves
};

// Gives id, agent, text, source, tags, time, similarity (NULL: no vector), weight of the words (NULL: found by its
// vector), by the graph (true: what the filter leaves was not read as a whole). The nearest first.
enum SearchColumn { kSimilarity = 6, kWeight = 7, kByGraph = 8 };
store::PgStatement statement(const FactSearch& search);

// Whether the graph may have been left before there were enough: then the search is made again, with `scan`.
[[nodiscard]] bool came_short(const FactSearch& search, const store::PgRows& answer);

inline constexpr const char* kFactColumns = "id, agent, text, source, tags, time";
std::string vector_text(const std::vector<float>& vector);
std::string stamp(WallTime time);
// Conditions as SQL; its parameters go behind those that are there.
std::string where(const Filter& filter, std::vector<store::PgText>& parameters);
[[nodiscard]] bool open(const Filter& filter);  // it lets everything through

}  // namespace skep::memory
