#include "mind/language/compression.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cctype>
#include <cstring>
#include <set>

#include "mind/language/complexity.h"
#include "mind/language/protected_spans.h"

namespace skep::language {
namespace {

// Longer phrases first: what is cut is gone for the shorter ones. All in lower case, matched at word boundaries.
constexpr std::array<std::string_view, 24> kCourtesy = {"i would like you to",
                                                        "i would be grateful if you could",
                                                        "i want you to",
                                                        "i'd like you to",
                                                        "would you mind",
                                                        "could you please",
                                                        "can you please",
                                                        "would you please",
                                                        "if you don't mind",
                                                        "thank you very much",
                                                        "thanks in advance",
                                                        "thank you in advance",
                                                        "thanks a lot",
                                                        "many thanks",
                                                        "thank you",
                                                        "if possible",
                                                        "be so kind as to",
                                                        "i was wondering if",
                                                        "please note that",
                                                        "it should be noted that",
                                                        "kindly",
                                                        "please",
                                                        "thanks",
                                                        "hello there"};
constexpr std::array<std::string_view, 34> kFiller = {"as a matter of fact",
                                                      "for what it's worth",
                                                      "at the end of the day",
                                                      "in my opinion",
                                                      "needless to say",
                                                      "as you can see",
                                                      "as you know",
                                                      "of course",
                                                      "in general",
                                                      "in fact",
                                                      "kind of",
                                                      "sort of",
                                                      "you know",
                                                      "i mean",
                                                      "i think that",
                                                      "i think",
                                                      "i believe that",
                                                      "basically",
                                                      "actually",
                                                      "really",
                                                      "very",
                                                      "quite",
                                                      "simply",
                                                      "literally",
                                                      "honestly",
                                                      "obviously",
                                                      "definitely",
                                                      "certainly",
                                                      "essentially",
                                                      "somewhat",
                                                      "rather",
                                                      "perhaps",
                                                      "just",
                                                      "totally"};
constexpr std::array<std::string_view, 3> kArticles = {"the", "an", "a"};

bool word_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '\'' || static_cast<unsigned char>(c) >= 0x80;
}
bool blank(char c) { return c == ' ' || c == '\t'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

// Which bytes go, and why; bytes of protected spans never do.
class Cuts {
 public:
  explicit Cuts(std::string_view text) : text_(text), why_(text.size(), nullptr), safe_(text.size(), true) {
    for (const ProtectedSpan& span : protected_spans(text)) {
      std::fill(safe_.begin() + static_cast<ptrdiff_t>(span.begin), safe_.begin() + static_cast<ptrdiff_t>(span.end),
                false);
    }
  }
  [[nodiscard]] bool free(size_t begin, size_t end) const {
    for (size_t i = begin; i < end; ++i) {
      if (!safe_[i] || why_[i] != nullptr) return false;
    }
    return true;
  }
  [[nodiscard]] bool safe(size_t at) const { return safe_[at]; }
  [[nodiscard]] bool gone(size_t at) const { return why_[at] != nullptr; }
  void cut(size_t begin, size_t end, const char* why) {
    for (size_t i = begin; i < end; ++i) {
      assert(safe_[i]);
      why_[i] = why;
    }
  }
  [[nodiscard]] std::string_view text() const { return text_; }

  [[nodiscard]] Compressed result() const {
    Compressed all;
    for (size_t begin = 0; begin < text_.size();) {
      size_t end = begin;
      while (end < text_.size() && same(why_[begin], why_[end])) ++end;
      all.pieces.push_back({std::string(text_.substr(begin, end - begin)), why_[begin]});
      begin = end;
    }
    return all;
  }

 private:
  static bool same(const char* a, const char* b) {
    return a == b || (a != nullptr && b != nullptr && std::strcmp(a, b) == 0);
  }
  std::string_view text_;
  std::vector<const char*> why_;
  std::vector<bool> safe_;
};

// A word with the space before it, or after it at the beginning of a line, so that none is doubled. A comma that
// belongs to it goes too.
void cut_word(Cuts& cuts, size_t begin, size_t end, const char* why) {
  const std::string_view text = cuts.text();
  if (end < text.size() && text[end] == ',' && cuts.free(end, end + 1)) ++end;
  const bool first = begin == 0 || text[begin - 1] == '\n';
  if (!first && blank(text[begin - 1]) && cuts.free(begin - 1, begin)) {
    --begin;
  } else if (end < text.size() && blank(text[end]) && cuts.free(end, end + 1)) {
    ++end;
  }
  cuts.cut(begin, end, why);
}

template <typename Phrases>
void cut_phrases(Cuts& cuts, const Phrases& phrases, const char* why) {
  const std::string_view text = cuts.text();
  std::string low;
  for (const char c : text) low += lower(c);
  for (const std::string_view phrase : phrases) {
    for (size_t at = low.find(phrase); at != low.npos; at = low.find(phrase, at + 1)) {
      const size_t end = at + phrase.size();
      if ((at > 0 && word_char(low[at - 1])) || (end < low.size() && word_char(low[end])) || !cuts.free(at, end))
        continue;
      // Hyphens make other words of them: "just-in-time", "a-priori".
      if ((at > 0 && low[at - 1] == '-') || (end < low.size() && (low[end] == '-' || low[end] == '/'))) continue;
      cut_word(cuts, at, end, why);
    }
  }
}

// Sentences that were said before, word for word. A sentence ends at . ! ? before a space, or at the end of a line.
void cut_repeated(Cuts& cuts) {
  const std::string_view text = cuts.text();
  std::set<std::string> said;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin;
    while (end < text.size() && text[end] != '\n' &&
           !((text[end] == '.' || text[end] == '!' || text[end] == '?') &&
             (end + 1 == text.size() || text[end + 1] == ' '))) {
      ++end;
    }
    end = std::min(end + 1, text.size());
    std::string plain;
    for (const char c : text.substr(begin, end - begin)) {
      if (word_char(c)) plain += lower(c);
      if (c == ' ' && !plain.empty() && plain.back() != ' ') plain += ' ';
    }
    constexpr size_t kSentence = 20;  // letters; short lines are often the same and mean something
    if (plain.size() >= kSentence && !said.insert(plain).second && cuts.free(begin, end))
      cuts.cut(begin, end, "repeated");
    begin = end;
    while (begin < text.size() && text[begin] == ' ') ++begin;
  }
}

// Runs of blanks inside a line, blanks at its end, more than one empty line; in what the other rules have left.
void cut_space(Cuts& cuts) {
  const std::string_view text = cuts.text();
  std::vector<size_t> left;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!cuts.gone(i)) left.push_back(i);
  }
  const auto cut = [&](size_t from, size_t to) {
    for (size_t k = from; k < to; ++k) {
      if (cuts.safe(left[k])) cuts.cut(left[k], left[k] + 1, "space");
    }
  };
  for (size_t at = 0; at < left.size();) {
    const char c = text[left[at]];
    size_t end = at + 1;
    if (blank(c)) {
      while (end < left.size() && blank(text[left[end]])) ++end;
      const bool indentation = at == 0 || text[left[at - 1]] == '\n';
      const bool trailing = end == left.size() || text[left[end]] == '\n';
      if (!indentation) cut(trailing ? at : at + 1, end);
    } else if (c == '\n') {
      while (end < left.size() && text[left[end]] == '\n') ++end;
      if (end > at + 2) cut(at + 2, end);
    }
    at = end;
  }
}

// A word of the text with the tokens that make it up.
struct Word {
  size_t begin = 0, end = 0;  // bytes
  double surprise = 0;        // nats per token
  int tokens = 0;
};

}  // namespace

std::string Compressed::text() const {
  std::string all;
  for (const CompressedPiece& piece : pieces) {
    if (piece.cut == nullptr) all += piece.text;
  }
  return all;
}

Compressed compress_by_rules(std::string_view text, Tier tier) {
  Cuts cuts(text);
  cut_repeated(cuts);
  if (tier != Tier::deep) {
    cut_phrases(cuts, kCourtesy, "courtesy");
    cut_phrases(cuts, kFiller, "filler");
  }
  if (tier == Tier::fast) cut_phrases(cuts, kArticles, "article");
  cut_space(cuts);
  Compressed result = cuts.result();
  result.tokens_before = estimate_tokens(text);
  result.tokens_after = estimate_tokens(result.text());
  return result;
}

Compressed compress_by_information(std::string_view text, const std::vector<engine::TokenLogprob>& tokens,
                                   double keep) {
  assert(keep > 0 && keep <= 1);
  Cuts cuts(text);
  Compressed untouched = cuts.result();
  untouched.tokens_before = untouched.tokens_after = static_cast<int>(tokens.size());
  // Where each token stands.
  std::string joined;
  for (const auto& token : tokens) joined += token.text;
  const size_t lead = joined.size() >= text.size() ? joined.size() - text.size() : joined.size() + 1;
  if (lead > joined.size() || joined.substr(lead) != text || joined.find_first_not_of(' ') < lead) {
    untouched.reached = keep >= 1;
    return untouched;
  }
  std::vector<Word> words;
  size_t at = 0;
  for (const auto& token : tokens) {
    const size_t begin = at < lead ? 0 : at - lead;
    at += token.text.size();
    const size_t end = at < lead ? 0 : at - lead;
    // A word begins at a space, a line's end, or where a token does not go on with letters.
    const bool glued =
        !words.empty() && begin < text.size() && begin > 0 && word_char(text[begin]) && word_char(text[begin - 1]);
    if (!glued) words.push_back({begin, begin, 0, 0});
    Word& word = words.back();
    word.end = end;
    word.surprise += double{-token.logprob};
    ++word.tokens;
  }
  std::vector<const Word*> order;
  for (Word& word : words) {
    word.surprise /= word.tokens;
    // Ends of sentences and lines hold the text together.
    const std::string_view w = text.substr(word.begin, word.end - word.begin);
    const bool structure = w.find_first_of("\n.!?:;") != w.npos;
    const size_t first = w.find_first_not_of(' ');
    if (!structure && first != w.npos && cuts.free(word.begin, word.end)) order.push_back(&word);
  }
  std::stable_sort(order.begin(), order.end(), [](const Word* a, const Word* b) { return a->surprise < b->surprise; });
  const auto wanted = static_cast<int>(static_cast<double>(tokens.size()) * keep);
  int left = static_cast<int>(tokens.size());
  for (const Word* word : order) {
    if (left <= wanted) break;
    cuts.cut(word->begin, word->end, "predictable");
    left -= word->tokens;
  }
  Compressed result = cuts.result();
  result.tokens_before = static_cast<int>(tokens.size());
  result.tokens_after = left;
  result.reached = left <= wanted;
  return result;
}

}  // namespace skep::language
