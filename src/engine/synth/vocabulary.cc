#include "engine/synth/vocabulary.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cctype>
#include <queue>
#include <unordered_map>
#include <unordered_set>

namespace skep::synth {
namespace {

constexpr std::array<std::string_view, 4> kControl{"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>"};

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t'; }

// Splits as the pre-tokenizer "smollm" does, for ASCII: single digits, else GPT-2's words with their leading space.
// Merges never cross these borders, so learning across them would teach dead tokens.
std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  size_t at = 0;
  while (at < text.size()) {
    const size_t start = at;
    const bool led = text[at] == ' ' && at + 1 < text.size() && !is_space(text[at + 1]) && !is_digit(text[at + 1]);
    if (led) ++at;
    if (is_digit(text[at])) {
      ++at;
    } else if (is_space(text[at])) {
      while (at < text.size() && is_space(text[at])) ++at;
      // The last blank belongs to the word behind it.
      if (at < text.size() && at - start > 1 && !is_digit(text[at])) --at;
    } else if (is_letter(text[at])) {
      while (at < text.size() && is_letter(text[at])) ++at;
    } else {
      while (at < text.size() && !is_letter(text[at]) && !is_digit(text[at]) && !is_space(text[at])) ++at;
    }
    words.push_back(text.substr(start, at - start));
  }
  return words;
}

// How often each word counts. The word list is sorted by frequency, so a word's weight falls with its rank (Zipf).
std::vector<std::pair<std::string, int64_t>> count_words() {
  std::unordered_map<std::string, int64_t> counts;
  constexpr int64_t kWeight = 4000;
  int64_t rank = 0;
  for (std::string_view word : split_words(corpus_words())) {
    while (!word.empty() && is_space(word.front())) word.remove_prefix(1);
    if (word.empty()) continue;
    ++rank;
    const std::string lower(word);
    counts[" " + lower] += 3 + kWeight / rank;
    counts[lower] += 1 + kWeight / rank / 8;
    std::string upper = lower;
    upper[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(upper[0])));
    counts[" " + upper] += 1 + kWeight / rank / 8;
    counts[upper] += 1 + kWeight / rank / 8;
  }
  for (std::string_view word : split_words(corpus_passages())) counts[std::string(word)] += 12;
  std::vector<std::pair<std::string, int64_t>> sorted(counts.begin(), counts.end());
  std::sort(sorted.begin(), sorted.end());  // an order that does not hang on the hash
  return sorted;
}

using Pair = uint64_t;
Pair pair_of(int left, int right) { return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right); }

// Learns merges, the most frequent pair first (Sennrich et al. 2016). Tokens are ids into `pieces`, of which the first
// 256 are the bytes.
class Learner {
 public:
  Learner() {
    for (int b = 0; b < 256; ++b) pieces_.emplace_back(1, static_cast<char>(b));
    for (auto& [text, count] : count_words()) {
      Word word{.symbols = {}, .count = count};
      for (char c : text) word.symbols.push_back(static_cast<unsigned char>(c));
      words_.push_back(std::move(word));
    }
    for (int w = 0; w < static_cast<int>(words_.size()); ++w) add_pairs(w);
    for (const auto& [pair, count] : counts_) queue_.push({count, pair});
  }

  // The commonest pair becomes a token. False when every word is one token.
  bool learn_one() {
    while (!queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      const auto found = counts_.find(best.pair);
      if (found == counts_.end() || found->second != best.count) continue;  // an outdated entry
      if (best.count <= 0) return false;
      const int left = static_cast<int>(best.pair >> 32);
      const int right = static_cast<int>(best.pair & 0xffffffffU);
      const int merged = static_cast<int>(pieces_.size());
      pieces_.push_back(pieces_[left] + pieces_[right]);
      merges_.emplace_back(left, right);
      replace(best.pair, left, right, merged);
      return true;
    }
    return false;
  }

  [[nodiscard]] const std::vector<std::string>& pieces() const { return pieces_; }
  [[nodiscard]] const std::vector<std::pair<int, int>>& merges() const { return merges_; }

 private:
  struct Word {
    std::vector<int> symbols;
    int64_t count = 0;
  };
  struct Candidate {
    int64_t count = 0;
    Pair pair = 0;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;  // ties: the older pair
    }
  };

  void add_pairs(int w) {
    const Word& word = words_[w];
    for (size_t i = 0; i + 1 < word.symbols.size(); ++i) {
      const Pair pair = pair_of(word.symbols[i], word.symbols[i + 1]);
      counts_[pair] += word.count;
      where_[pair].insert(w);
    }
  }

  void replace(Pair pair, int left, int right, int merged) {
    std::unordered_set<Pair> changed;
    std::unordered_set<int> affected;
    affected.swap(where_[pair]);
    for (int w : affected) {
      Word& word = words_[w];
      for (size_t i = 0; i + 1 < word.symbols.size(); ++i) {
        const Pair old = pair_of(word.symbols[i], word.symbols[i + 1]);
        counts_[old] -= word.count;
        changed.insert(old);
      }
      std::vector<int> symbols;
      for (size_t i = 0; i < word.symbols.size(); ++i) {
        if (i + 1 < word.symbols.size() && word.symbols[i] == left && word.symbols[i + 1] == right) {
          symbols.push_back(merged);
          ++i;
        } else {
          symbols.push_back(word.symbols[i]);
        }
      }
      word.symbols = std::move(symbols);
      add_pairs(w);
      for (size_t i = 0; i + 1 < word.symbols.size(); ++i) {
        changed.insert(pair_of(word.symbols[i], word.symbols[i + 1]));
      }
    }
    for (Pair p : changed) {
      const int64_t count = counts_[p];
      if (count > 0) {
        queue_.push({count, p});
      } else {
        counts_.erase(p);
        where_.erase(p);
      }
    }
  }

  std::vector<std::string> pieces_;
  std::vector<std::pair<int, int>> merges_;
  std::vector<Word> words_;
  std::unordered_map<Pair, int64_t> counts_;
  std::unordered_map<Pair, std::unordered_set<int>> where_;  // words that hold, or once held, the pair
  std::priority_queue<Candidate> queue_;
};

bool lowercase(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

// Appends pseudo-words until there are `size` tokens: a word's beginning and an ending that both are tokens, with the
// merge that joins them behind all learnt ones. Walks both lists diagonally so that neither end is used up first.
void fill(Vocabulary& out, const std::vector<std::string>& pieces, size_t size) {
  std::vector<std::string> starts, ends;
  for (const std::string& piece : pieces) {
    const std::string_view body = std::string_view(piece).substr(piece[0] == ' ' ? 1 : 0);
    if (body.size() < 2 || body.size() > 6 || !lowercase(body)) continue;
    (piece[0] == ' ' ? starts : ends).push_back(stand_in(piece));
  }
  std::unordered_set<std::string> known(out.tokens.begin(), out.tokens.end());
  for (size_t sum = 0; sum + 1 < starts.size() + ends.size() && out.tokens.size() < size; ++sum) {
    for (size_t e = 0; e <= sum && e < ends.size() && out.tokens.size() < size; ++e) {
      if (sum - e >= starts.size()) continue;
      std::string word = starts[sum - e] + ends[e];
      if (!known.insert(word).second) continue;
      out.merges.push_back(starts[sum - e] + " " + ends[e]);
      out.tokens.push_back(std::move(word));
      out.types.push_back(static_cast<int32_t>(TokenType::normal));
    }
  }
  for (size_t n = 0; out.tokens.size() < size; ++n) {
    out.tokens.push_back("<|unused_" + std::to_string(n) + "|>");
    out.types.push_back(static_cast<int32_t>(TokenType::unused));
  }
}

// Code points of GPT-2's table: printable bytes stand for themselves, the others for 256, 257, …
std::array<int, 256> byte_code_points() {
  std::array<int, 256> table{};
  int next = 256;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    table[b] = printable ? b : next++;
  }
  return table;
}

}  // namespace

std::string stand_in(std::string_view bytes) {
  static const std::array<int, 256> table = byte_code_points();
  std::string out;
  for (char c : bytes) {
    const int point = table[static_cast<unsigned char>(c)];
    if (point < 0x80) {
      out += static_cast<char>(point);
    } else {  // all are below 0x800: two bytes of UTF-8
      out += static_cast<char>(0xc0 | point >> 6);
      out += static_cast<char>(0x80 | (point & 0x3f));
    }
  }
  return out;
}

Vocabulary make_vocabulary(int size) {
  assert(size >= 512);
  Vocabulary out;
  for (std::string_view token : kControl) {
    out.tokens.emplace_back(token);
    out.types.push_back(static_cast<int32_t>(TokenType::control));
  }
  Learner learner;
  const size_t room = static_cast<size_t>(size) - kControl.size();
  while (learner.pieces().size() < room && learner.learn_one()) {
  }
  // Two merges may spell the same token ("a"+"bc", "ab"+"c"): it stands once, but both merges stay.
  std::unordered_set<std::string> known;
  for (const std::string& piece : learner.pieces()) {
    std::string token = stand_in(piece);
    if (!known.insert(token).second) continue;
    out.tokens.push_back(std::move(token));
    out.types.push_back(static_cast<int32_t>(TokenType::normal));
  }
  for (const auto& [left, right] : learner.merges()) {
    out.merges.push_back(stand_in(learner.pieces()[left]) + " " + stand_in(learner.pieces()[right]));
  }
  fill(out, learner.pieces(), static_cast<size_t>(size));
  assert(out.tokens.size() == static_cast<size_t>(size) && out.types.size() == out.tokens.size());
  return out;
}

std::string_view chat_template() {
  return R"jinja({%- if tools %}
{{- '<|im_start|>system\n' }}
{%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] + '\n\n' }}{%- endif %}
{{- 'You may call functions. Their signatures stand within <tools></tools>:\n<tools>' }}
{%- for tool in tools %}{{- '\n' }}{{- tool | tojson }}{%- endfor %}
{{- '\n</tools>\n\nTo call one, answer with its name and arguments as JSON within <tool_call></tool_call>:\n<tool_call>\n{"name": <function-name>, "arguments": <arguments-object>}\n</tool_call><|im_end|>\n' }}
{%- elif messages[0]['role'] == 'system' %}
{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message['role'] == 'tool' %}
{{- '<|im_start|>user\n<tool_response>\n' + message['content'] + '\n</tool_response><|im_end|>\n' }}
{%- elif message['role'] != 'system' or not loop.first %}
{{- '<|im_start|>' + message['role'] }}
{%- if message['content'] %}{{- '\n' + message['content'] }}{%- endif %}
{%- if message['tool_calls'] %}
{%- for call in message['tool_calls'] %}
{{- '\n<tool_call>\n{"name": "' + call['function']['name'] + '", "arguments": ' }}{{- call['function']['arguments'] | tojson }}{{- '}\n</tool_call>' }}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %})jinja";
}

}  // namespace skep::synth
