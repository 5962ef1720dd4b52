#pragma once
// Full text of facts in SQLite's FTS5: which facts have the query's words, ranked by BM25. A derived file: it holds no
// text, only words and where they stand, and can be made again from the facts at any time.
//
// Common words cost as many postings as facts have them and tell least, so a query keeps its rarest words
// (WordFrequencies), as many as about a thousand facts have.
//
// One thread at a time.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "memory/fact.h"

struct sqlite3;

namespace skep::memory {

// The words of a text: letters and digits of any script, ASCII in lower case. FTS5's unicode61 cuts alike.
std::vector<std::string> words_of(std::string_view text);

// About how many facts have a word: a count-min sketch (Cormode and Muthukrishnan 2005) of two rows, never too low.
class WordFrequencies {
 public:
  void add(std::string_view text, int sign);  // 1: a fact was added, -1: it went
  [[nodiscard]] uint32_t count(std::string_view word) const;
  [[nodiscard]] uint32_t facts() const { return facts_; }
  // Of `text`, what is worth searching for, the rarest first.
  [[nodiscard]] std::vector<std::string> telling_words(std::string_view text, size_t most = 8) const;

 private:
  static constexpr size_t kColumns = 1U << 15U;
  std::vector<uint32_t> first_ = std::vector<uint32_t>(kColumns), second_ = std::vector<uint32_t>(kColumns);
  uint32_t facts_ = 0;
};

class TextIndex {
 public:
  struct Match {
    FactId id = 0;
    double bm25 = 0;  // above 0, better is higher
  };

  // What is unreadable is made anew, empty.
  static Result<TextIndex> open(const std::string& path);
  TextIndex(TextIndex&&) noexcept;
  TextIndex& operator=(TextIndex&&) noexcept;
  ~TextIndex();

  // The number of the last change whose effect is in the file, as commit() was told; 0 for a new one.
  [[nodiscard]] uint64_t applied() const;

  Status add(const Fact& fact);
  // `fact` as it was added: FTS5 must be told the words to take out.
  Status remove(const Fact& fact);
  // An empty one in a file of its own, whatever the old one holds. After an error it must be called again.
  Status remake();

  // Facts that have any of the words, of this agent (and shared ones) and with these tags if the filter says so; times
  // are not looked at. The best first.
  Result<std::vector<Match>> search(const std::vector<std::string>& words, const Filter& filter, size_t limit);

  // Makes the changes so far last; nothing is lost by a process that is killed, at most the last ones by a power cut.
  Status commit(uint64_t applied);
  // No word of what was removed is left in the file.
  Status purge(uint64_t applied);

 private:
  struct Impl;
  explicit TextIndex(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::memory
