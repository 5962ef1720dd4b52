#pragma once
// Writes grammars in GBNF, the dialect of llama.cpp: literals, character classes, groups, | ? * + {m,n}, and named
// rules. Expressions are text; equal rules are written once.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skep::language {

// Code points, as ranges from first to last.
class CharacterSet {
 public:
  using Range = std::pair<uint32_t, uint32_t>;
  static constexpr uint32_t kLast = 0x10FFFF;

  void add(uint32_t first, uint32_t last) { ranges_.emplace_back(first, last); }
  void add(const CharacterSet& other) { ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end()); }
  [[nodiscard]] CharacterSet complement() const;
  [[nodiscard]] CharacterSet without(const CharacterSet& other) const;
  [[nodiscard]] bool contains(uint32_t c) const;
  [[nodiscard]] bool empty() const { return ranges_.empty(); }
  [[nodiscard]] std::vector<Range> ranges() const;  // sorted, disjoint, apart

 private:
  std::vector<Range> ranges_;
};

class Gbnf {
 public:
  // An expression that matches exactly this text (UTF-8).
  static std::string literal(std::string_view text);
  static std::string character_class(const CharacterSet& set);  // not empty
  // A parenthesised alternative; a single one stands alone.
  static std::string any_of(const std::vector<std::string>& expressions);

  // A rule with this body; its name is the hint, made unique. A body that exists already gives the name it has.
  std::string rule(std::string_view hint, const std::string& body);
  // A name to refer to before its body is known, for what refers to itself.
  std::string reserve(std::string_view hint);
  void define(const std::string& name, const std::string& body);

  // The rule that was kept under this key, for what is wanted again and refers to itself; empty: none yet.
  [[nodiscard]] std::string kept(std::string_view key) const;
  void keep(std::string_view key, const std::string& name) { kept_.emplace(key, name); }

  // `expression`, an atom (a rule's name, a class, a group), at least `min` times and at most `max` (-1: any number).
  // Counts over kBlock are built from blocks: engines limit the count of one repetition.
  static constexpr int kBlock = 100;
  std::string repeat(const std::string& expression, int min, int max);

  // The grammar with this as its root.
  [[nodiscard]] std::string text(const std::string& root) const;
  [[nodiscard]] size_t rules() const { return rules_.size(); }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  std::string unique(std::string_view hint);

  std::map<std::string, std::string, std::less<>> rules_;    // name -> body
  std::map<std::string, std::string, std::less<>> by_body_;  // body -> name
  std::map<std::string, std::string, std::less<>> kept_;
  std::vector<std::string> order_;
  size_t bytes_ = 0;
};

// Reads one code point of valid UTF-8 at `at` and moves on; invalid bytes stand for themselves.
uint32_t next_code_point(std::string_view text, size_t& at);

}  // namespace skep::language
