#pragma once
// Keeps mapped weights within a number of resident bytes: what lets a model run that is larger than its budget (D8).
// Every token needs all weights once, in the same order. Of a cycle that is longer than the memory, a least-recently-
// used cache keeps nothing; so a fixed part is kept (and locked, where the system allows it) and the rest passes
// through what is left: unmapped when it has been used, read again for the next token. The page cache may still have
// it.
//
// A thread of its own looks every few milliseconds; the pages are mapped again by whoever touches them, at any time, so
// nobody has to wait for it.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace skep::engine {

class WeightPager {
 public:
  // `files`: those whose mappings in this process are weights, the most used first; they must outlive this, which is
  // why it finds them only once: an address that its owner gave back may be somebody else's. unavailable: none of them
  // is mapped, so nothing can be given back.
  static Result<std::unique_ptr<WeightPager>> create(const std::vector<std::string>& files, Bytes limit);
  ~WeightPager();
  WeightPager(const WeightPager&) = delete;
  WeightPager& operator=(const WeightPager&) = delete;

  void run();  // in a thread, until this is destroyed
  // One look: gives back what passes through when more than the limit is resident. True: it did.
  bool trim();

  [[nodiscard]] Bytes mapped() const;                 // all weights
  [[nodiscard]] Bytes kept() const { return kept_; }  // of the limit, for good
  [[nodiscard]] Bytes resident() const;               // now
  [[nodiscard]] bool locked() const { return locked_; }

 private:
  struct Range {
    char* begin;
    size_t size;
  };
  WeightPager(std::vector<Range> ranges, Bytes limit);
  void keep_the_first();

  std::vector<Range> ranges_;   // of all weights
  std::vector<Range> passing_;  // those that are not kept
  Bytes limit_, kept_;
  int64_t other_pages_ = 0;  // file pages of this process that are no weights
  bool locked_ = false;
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

}  // namespace skep::engine
