#pragma once
// For tests: says whether a text belongs to a GBNF grammar. Backtracking with a memory of what each rule matches where;
// written from the description of the format, not from any implementation.

#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mind/language/gbnf.h"

namespace skep::language {

class GbnfRecogniser {
 public:
  // Throws std::runtime_error where the grammar is not well-formed.
  explicit GbnfRecogniser(std::string_view grammar) : text_(grammar) {
    while (space(true), at_ < text_.size()) {
      const std::string name = word();
      expect("::=");
      space(false);
      if (!rules_.emplace(name, alternatives()).second) throw error("rule defined twice: " + name);
    }
    for (const std::string& name : referred_) {
      if (!rules_.contains(name)) throw error("no rule " + name);
    }
    if (!rules_.contains("root")) throw error("no root");
  }

  bool matches(std::string_view input) {
    input_ = input;
    memory_.clear();
    active_.clear();
    return rule("root", 0).contains(input.size());
  }

 private:
  using Ends = std::set<size_t>;
  struct Node {
    enum Kind { characters, reference, sequence, choice, repeat } kind = sequence;
    std::vector<CharacterSet> sets;  // characters: one after the other
    std::string name;
    std::vector<Node> parts;
    int min = 0, max = -1;
  };

  std::runtime_error error(const std::string& what) const {
    return std::runtime_error(what + " at " + std::to_string(at_) + " of " + std::string(text_));
  }
  void space(bool lines) {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || (lines && text_[at_] == '\n'))) ++at_;
  }
  void expect(std::string_view what) {
    space(false);
    if (!text_.substr(at_).starts_with(what)) throw error("expected " + std::string(what));
    at_ += what.size();
  }
  static bool in_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  }
  std::string word() {
    const size_t from = at_;
    while (at_ < text_.size() && in_word(text_[at_])) ++at_;
    if (from == at_) throw error("expected a name");
    return std::string(text_.substr(from, at_ - from));
  }

  Node alternatives() {
    Node node{.kind = Node::choice};
    do {
      node.parts.push_back(sequence());
      space(false);
    } while (at_ < text_.size() && text_[at_] == '|' && ++at_);
    return node;
  }

  Node sequence() {
    Node node{.kind = Node::sequence};
    for (space(false); at_ < text_.size(); space(false)) {
      const char c = text_[at_];
      if (c == '|' || c == ')' || c == '\n') break;
      Node part;
      if (c == '"') {
        ++at_;
        part.kind = Node::characters;
        while (at_ < text_.size() && text_[at_] != '"') {
          const uint32_t one = character();
          part.sets.emplace_back();
          part.sets.back().add(one, one);
        }
        expect("\"");
      } else if (c == '[') {
        part = bracket();
      } else if (c == '(') {
        ++at_;
        part = alternatives();
        expect(")");
      } else {
        part.kind = Node::reference;
        part.name = word();
        referred_.insert(part.name);
      }
      node.parts.push_back(quantified(std::move(part)));
    }
    return node;
  }

  Node bracket() {
    ++at_;
    CharacterSet set;
    const bool negated = at_ < text_.size() && text_[at_] == '^';
    if (negated) ++at_;
    while (at_ < text_.size() && text_[at_] != ']') {
      const uint32_t low = character();
      uint32_t high = low;
      if (at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']') {
        ++at_;
        high = character();
      }
      set.add(low, high);
    }
    expect("]");
    return {.kind = Node::characters, .sets = {negated ? set.complement() : set}};
  }

  uint32_t character() {
    if (text_[at_] != '\\') return next_code_point(text_, at_);
    const char c = text_.at(at_ + 1);
    at_ += 2;
    const auto hex = [this](size_t count) {
      const auto value = static_cast<uint32_t>(std::stoul(std::string(text_.substr(at_, count)), nullptr, 16));
      at_ += count;
      return value;
    };
    switch (c) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'x':
        return hex(2);
      case 'u':
        return hex(4);
      case 'U':
        return hex(8);
      case '\\':
      case '"':
      case '[':
      case ']':
        return static_cast<uint32_t>(c);
      default:
        throw error("unknown escape");
    }
  }

  Node quantified(Node part) {
    while (at_ < text_.size()) {
      int min = 0, max = -1;
      if (text_[at_] == '*') {
        ++at_;
      } else if (text_[at_] == '+') {
        ++at_, min = 1;
      } else if (text_[at_] == '?') {
        ++at_, max = 1;
      } else if (text_[at_] == '{') {
        ++at_;
        min = max = std::stoi(word());
        if (text_.at(at_) == ',') {
          ++at_;
          max = text_.at(at_) == '}' ? -1 : std::stoi(word());
        }
        expect("}");
        if (max > 2000 || min > 2000) throw error("too many repetitions for llama.cpp");
      } else {
        break;
      }
      Node around{.kind = Node::repeat, .min = min, .max = max};
      around.parts.push_back(std::move(part));
      part = std::move(around);
    }
    return part;
  }

  const Ends& rule(const std::string& name, size_t from) {
    const std::pair key(name, from);
    if (const auto known = memory_.find(key); known != memory_.end()) return known->second;
    if (!active_.insert(key).second) throw error("left recursion in " + name);
    Ends ends = match(rules_.at(name), from);
    active_.erase(key);
    return memory_.emplace(key, std::move(ends)).first->second;
  }

  Ends match(const Node& node, size_t from) {
    switch (node.kind) {
      case Node::characters: {
        size_t at = from;
        for (const CharacterSet& set : node.sets) {
          if (at >= input_.size() || !set.contains(next_code_point(input_, at))) return {};
        }
        return {at};
      }
      case Node::reference:
        return rule(node.name, from);
      case Node::choice: {
        Ends ends;
        for (const Node& part : node.parts) ends.merge(match(part, from));
        return ends;
      }
      case Node::sequence: {
        Ends ends = {from};
        for (const Node& part : node.parts) {
          Ends next;
          for (const size_t at : ends) next.merge(match(part, at));
          ends = std::move(next);
          if (ends.empty()) break;
        }
        return ends;
      }
      case Node::repeat: {
        Ends all, now = {from};
        for (int n = 0; !now.empty() && (node.max < 0 || n <= node.max); ++n) {
          if (n >= node.min) {
            const size_t before = all.size();
            all.insert(now.begin(), now.end());
            if (n > node.min && all.size() == before) break;
          }
          Ends next;
          for (const size_t at : now) next.merge(match(node.parts.front(), at));
          now = std::move(next);
        }
        return all;
      }
    }
    return {};
  }

  std::string_view text_, input_;
  size_t at_ = 0;
  std::map<std::string, Node> rules_;
  std::set<std::string> referred_;
  std::map<std::pair<std::string, size_t>, Ends> memory_;
  std::set<std::pair<std::string, size_t>> active_;
};

}  // namespace skep::language
