#include "memory/scoring.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace skep::memory {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
char lower(char c) { return is_upper(c) ? static_cast<char>(c + ('a' - 'A')) : c; }

constexpr std::array kNegations = {"not",     "no",     "never",  "none",  "without", "cannot", "nor",
                                   "neither", "except", "unless", "false", "nicht",   "kein",   "nie"};

struct Details {
  std::vector<std::string> numbers, quoted, names;
  int negations = 0;
  friend bool operator==(const Details&, const Details&) = default;
};

Details details_of(std::string_view text) {
  Details d;
  bool first_word = true;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (is_digit(c)) {
      size_t end = i;
      while (end < text.size() && (is_digit(text[end]) || (end + 1 < text.size() && is_digit(text[end + 1]) &&
                                                           (text[end] == '.' || text[end] == ',' || text[end] == ':' ||
                                                            text[end] == '-' || text[end] == '/')))) {
        ++end;
      }
      const bool negative = i > 0 && text[i - 1] == '-' && (i == 1 || is_space(text[i - 2]));
      d.numbers.push_back((negative ? "-" : "") + std::string(text.substr(i, end - i)));
      i = end;
      first_word = false;
    } else if (c == '"' || c == '`') {
      const size_t end = text.find(c, i + 1);
      if (end == text.npos) {
        ++i;
        continue;
      }
      d.quoted.emplace_back(text.substr(i + 1, end - i - 1));
      i = end + 1;
      first_word = false;
    } else if ((lower(c) >= 'a' && lower(c) <= 'z') || static_cast<unsigned char>(c) >= 0x80) {
      size_t end = i;
      std::string word;
      while (end < text.size() && ((lower(text[end]) >= 'a' && lower(text[end]) <= 'z') || text[end] == '\'' ||
                                   static_cast<unsigned char>(text[end]) >= 0x80)) {
        word += lower(text[end++]);
      }
      if (std::find(kNegations.begin(), kNegations.end(), word) != kNegations.end() || word.ends_with("n't")) {
        ++d.negations;
      }
      if (is_upper(c) && !first_word) d.names.push_back(word);
      first_word = false;
      i = end;
    } else {
      if (c == '.' || c == '!' || c == '?' || c == '\n') first_word = true;
      ++i;
    }
  }
  return d;
}

void score_by_ranks(std::vector<Hit>& hits, bool by_vector, bool by_text) {
  for (Hit& hit : hits) hit.score = 0;
  const double lists = (by_vector ? 1 : 0) + (by_text ? 1 : 0);
  const auto add = [&](double Hit::*fit) {
    std::vector<Hit*> list;
    for (Hit& hit : hits) {
      if (hit.*fit > 0) list.push_back(&hit);
    }
    std::sort(list.begin(), list.end(), [&](const Hit* a, const Hit* b) {
      return a->*fit != b->*fit ? a->*fit > b->*fit : a->fact.id < b->fact.id;
    });
    for (size_t i = 0; i < list.size(); ++i) list[i]->score += 1 / (lists * static_cast<double>(i + 1));
  };
  if (by_vector) add(&Hit::similarity);
  if (by_text) add(&Hit::text_score);
}

}  // namespace

void rank(std::vector<Hit>& hits, const Scoring& scoring, const Query& query, bool by_vector, bool by_text) {
  const double w = !by_vector ? 1 : !by_text ? 0 : scoring.text_weight;
  for (Hit& hit : hits) {
    hit.score =
        (w * hit.text_score + (1 - w) * std::max(0.0, hit.similarity)) * decay(scoring, query.now - hit.fact.time);
  }
  if (query.blend == Blend::ranks) score_by_ranks(hits, by_vector, by_text);
  std::erase_if(hits, [&](const Hit& hit) { return hit.score <= 0 || hit.score < query.least_score; });
  std::sort(hits.begin(), hits.end(),
            [](const Hit& a, const Hit& b) { return a.score != b.score ? a.score > b.score : a.fact.id < b.fact.id; });
  if (hits.size() > query.limit) hits.resize(query.limit);
}

std::string normalized(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (is_space(c)) {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else {
      out += lower(c);
    }
  }
  while (!out.empty() && (out.back() == ' ' || out.back() == '.' || out.back() == '!')) out.pop_back();
  return out;
}

bool differ_in_detail(std::string_view a, std::string_view b) { return details_of(a) != details_of(b); }

}  // namespace skep::memory
