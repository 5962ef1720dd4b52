#pragma once
// A prompt as the heuristics read it: lower-case words in order, and what its layout shows. Only the start and the end
// of a long text are read (that is where people say what they want), so that reading takes microseconds.

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace skep::language {

class Words {
 public:
  static constexpr size_t kEnds = 4096;  // bytes read at each end

  explicit Words(std::string_view text);

  // The words with one space between each, and one at both ends: " write a function ".
  [[nodiscard]] std::string_view text() const { return joined_; }
  [[nodiscard]] size_t count() const { return count_; }

  // "function" is a word, "step by step" a phrase, "optimi*" any word or phrase that begins so.
  [[nodiscard]] bool has(std::string_view cue) const;
  // How many of the cues occur.
  template <typename Cues>
  [[nodiscard]] int matches(const Cues& cues) const {
    int n = 0;
    for (const std::string_view cue : cues) n += has(cue) ? 1 : 0;
    return n;
  }

  [[nodiscard]] int questions() const { return questions_; }            // question marks
  [[nodiscard]] int items() const { return items_; }                    // lines that begin like a list item
  [[nodiscard]] bool code_block() const { return code_block_; }         // ``` or lines that look like source
  [[nodiscard]] int formulas() const { return formulas_; }              // = + ^ \ ∑ … between numbers and letters
  [[nodiscard]] int largest_number() const { return largest_number_; }  // "800" of "write 800 words", at most 100000

 private:
  void layout(std::string_view text);

  std::string joined_;
  std::unordered_set<std::string_view> words_;  // into joined_
  size_t count_ = 0;
  int questions_ = 0, items_ = 0, formulas_ = 0, largest_number_ = 0;
  bool code_block_ = false;
};

}  // namespace skep::language
