#include "memory/text_index.h"

#include <xxhash.h>

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cassert>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "memory/words.h"

namespace skep::memory {
namespace {

// BM25's usual constants: how soon more of the same word adds nothing, and how much long texts are discounted.
constexpr double kSaturation = 1.2, kLengthWeight = 0.75;

using Document = uint32_t;  // a fact's number in here, ascending in the order of adding
constexpr Document kEnd = std::numeric_limits<Document>::max();

struct Posting {
  Document document = 0;
  uint16_t count = 0;   // of the word in the fact; both saturate
  uint16_t length = 0;  // of the fact, words
};
Document document_of(const Posting& posting) { return posting.document; }
Document document_of(Document document) { return document; }

// The first in [at, end) that is not before `wanted`: near ones cost little (galloping, then bisection).
template <typename T>
const T* seek(const T* at, const T* end, Document wanted) {
  ptrdiff_t step = 1;
  while (at + step < end && document_of(at[step]) < wanted) {
    at += step;
    step *= 2;
  }
  const T* last = std::min(at + step + 1, end);
  return std::lower_bound(at, last, wanted, [](const T& one, Document d) { return document_of(one) < d; });
}

// Words and scopes are known by their hashes alone; that two of a million share one has a chance of 1 : 10^7.
uint64_t hash_of(std::string_view text, uint64_t kind) { return XXH3_64bits_withSeed(text.data(), text.size(), kind); }
constexpr uint64_t kWord = 0, kAgent = 1, kTag = 2;

std::vector<uint64_t> word_hashes(std::string_view text) {
  std::vector<uint64_t> hashes;
  for (const std::string& word : words_of(text)) hashes.push_back(hash_of(word, kWord));
  std::sort(hashes.begin(), hashes.end());
  return hashes;
}

struct Word {
  std::vector<Posting> postings;  // those of erased facts among them until the next sweep
  uint32_t facts = 0;             // that have it and were not erased
  uint16_t most = 0;              // count, at least that of any posting
  uint16_t shortest = UINT16_MAX;

  void add(const Posting& posting) {
    postings.push_back(posting);
    most = std::max(most, posting.count);
    shortest = std::min(shortest, posting.length);
  }
};

struct WordCursor {
  const Posting* at = nullptr;
  const Posting* end = nullptr;
  double weight = 0;    // by how rare the word is
  double per_word = 0;  // of a fact's length, to its discount
  double bound = 0;     // the most that it adds to a score

  [[nodiscard]] Document document() const { return at == end ? kEnd : at->document; }
  [[nodiscard]] double score(uint16_t count, uint16_t length) const {
    return weight * count / (count + kSaturation * (1 - kLengthWeight) + per_word * length);
  }
};

// Facts that are in any of these lists.
struct ScopeCursor {
  struct List {
    const Document* at = nullptr;
    const Document* end = nullptr;
  };
  std::vector<List> lists;

  Document next(Document from) {
    Document first = kEnd;
    for (List& list : lists) {
      list.at = seek(list.at, list.end, from);
      if (list.at != list.end) first = std::min(first, *list.at);
    }
    return first;
  }
};

// The first document from `from` on that is in every scope.
Document next_in_all(std::vector<ScopeCursor>& scopes, Document from) {
  for (size_t agreed = 0; agreed < scopes.size() && from != kEnd;) {
    agreed = 0;
    for (; agreed < scopes.size(); ++agreed) {
      const Document next = scopes[agreed].next(from);
      if (next != from) {
        from = next;
        break;
      }
    }
  }
  return from;
}

bool better(const TextIndex::Match& a, const TextIndex::Match& b) {
  return a.bm25 != b.bm25 ? a.bm25 > b.bm25 : a.id < b.id;
}

}  // namespace

struct TextIndex::Impl {
  boost::unordered_flat_map<uint64_t, Word> words;
  boost::unordered_flat_map<uint64_t, std::vector<Document>> scopes;  // agents and tags
  boost::unordered_flat_map<FactId, Document> documents;
  std::vector<FactId> ids;        // of the documents; 0: erased
  std::vector<uint16_t> lengths;  // words
  uint64_t length = 0;            // of all that are not erased

  [[nodiscard]] double average_length() const {
    return documents.empty() ? 1 : std::max(1.0, static_cast<double>(length) / static_cast<double>(documents.size()));
  }

  [[nodiscard]] std::vector<WordCursor> cursors(std::string_view text) const {
    std::vector<const Word*> asked;
    const std::vector<uint64_t> hashes = word_hashes(text);
    for (size_t i = 0; i < hashes.size(); ++i) {
      if (i > 0 && hashes[i] == hashes[i - 1]) continue;
      if (const auto found = words.find(hashes[i]); found != words.end()) asked.push_back(&found->second);
    }
    std::sort(asked.begin(), asked.end(), [](const Word* a, const Word* b) { return a->facts < b->facts; });
    if (asked.size() > kMostWords) asked.resize(kMostWords);
    std::vector<WordCursor> cursors;
    const auto all = static_cast<double>(documents.size());
    for (const Word* word : asked) {
      const auto n = static_cast<double>(word->facts);
      WordCursor cursor;
      cursor.at = word->postings.data();
      cursor.end = cursor.at + word->postings.size();
      cursor.weight = std::log1p((all - n + 0.5) / (n + 0.5)) * (kSaturation + 1);
      cursor.per_word = kSaturation * kLengthWeight / average_length();
      // A little more, for sums that are rounded in another order.
      cursor.bound = cursor.score(word->most, word->shortest) * (1 + 1e-9);
      cursors.push_back(cursor);
    }
    std::sort(cursors.begin(), cursors.end(),
              [](const WordCursor& a, const WordCursor& b) { return a.bound < b.bound; });
    return cursors;
  }

  [[nodiscard]] std::vector<ScopeCursor> cursors(const Filter& filter) const {
    std::vector<ScopeCursor> all;
    const auto take = [&](ScopeCursor& cursor, std::string_view name, uint64_t kind) {
      const auto found = scopes.find(hash_of(name, kind));
      if (found == scopes.end()) return;
      const std::vector<Document>& list = found->second;
      cursor.lists.push_back({list.data(), list.data() + list.size()});
    };
    if (filter.agent) {
      take(all.emplace_back(), *filter.agent, kAgent);
      if (filter.with_shared && !filter.agent->empty()) take(all.back(), "", kAgent);
    }
    for (const std::string& tag : filter.tags) take(all.emplace_back(), tag, kTag);
    return all;
  }
};

TextIndex::TextIndex() : impl_(std::make_unique<Impl>()) {}
TextIndex::TextIndex(TextIndex&&) noexcept = default;
TextIndex& TextIndex::operator=(TextIndex&&) noexcept = default;
TextIndex::~TextIndex() = default;

size_t TextIndex::size() const { return impl_->documents.size(); }

Bytes TextIndex::memory() const {
  size_t bytes = impl_->words.size() * (sizeof(Word) + 60) + impl_->scopes.size() * 100 + impl_->ids.size() * 40;
  for (const auto& [hash, word] : impl_->words) bytes += word.postings.capacity() * sizeof(Posting);
  for (const auto& [hash, list] : impl_->scopes) bytes += list.capacity() * sizeof(Document);
  return Bytes(static_cast<int64_t>(bytes));
}

void TextIndex::add(const Fact& fact) {
  Impl& self = *impl_;
  assert(fact.id != 0 && !self.documents.contains(fact.id));
  const auto document = static_cast<Document>(self.ids.size());
  const std::vector<uint64_t> hashes = word_hashes(fact.text);
  const auto saturated = [](size_t n) { return static_cast<uint16_t>(std::min<size_t>(n, UINT16_MAX)); };
  const uint16_t length = saturated(hashes.size());
  for (size_t i = 0; i < hashes.size();) {
    const size_t first = i;
    while (i < hashes.size() && hashes[i] == hashes[first]) ++i;
    Word& word = self.words[hashes[first]];
    word.add({document, saturated(i - first), length});
    ++word.facts;
  }
  self.scopes[hash_of(fact.agent, kAgent)].push_back(document);
  for (const std::string& tag : fact.tags) self.scopes[hash_of(tag, kTag)].push_back(document);
  self.documents.emplace(fact.id, document);
  self.ids.push_back(fact.id);
  self.lengths.push_back(length);
  self.length += length;
}

void TextIndex::erase(const Fact& fact) {
  Impl& self = *impl_;
  const auto found = self.documents.find(fact.id);
  if (found == self.documents.end()) return;
  std::vector<uint64_t> hashes = word_hashes(fact.text);
  hashes.erase(std::unique(hashes.begin(), hashes.end()), hashes.end());
  for (const uint64_t hash : hashes) {
    const auto word = self.words.find(hash);
    assert(word != self.words.end() && word->second.facts > 0);
    if (--word->second.facts == 0) self.words.erase(word);
  }
  self.length -= self.lengths[found->second];
  self.ids[found->second] = 0;
  self.documents.erase(found);
  const size_t erased = self.ids.size() - self.documents.size();
  if (erased > 1000 && erased > self.documents.size() / 4) sweep();
}

void TextIndex::sweep() {
  Impl& self = *impl_;
  if (self.ids.size() == self.documents.size()) return;
  std::vector<Document> now(self.ids.size(), kEnd);  // the documents' new numbers
  Document next = 0;
  for (size_t d = 0; d < self.ids.size(); ++d) {
    if (self.ids[d] == 0) continue;
    now[d] = next;
    self.ids[next] = self.ids[d];
    self.lengths[next] = self.lengths[d];
    self.documents[self.ids[d]] = next++;
  }
  self.ids.resize(next);
  self.lengths.resize(next);
  for (auto& [hash, word] : self.words) {
    Word swept;
    for (const Posting& posting : word.postings) {
      if (now[posting.document] != kEnd) swept.add({now[posting.document], posting.count, posting.length});
    }
    swept.facts = word.facts;
    assert(swept.facts == swept.postings.size());
    word = std::move(swept);
  }
  boost::unordered::erase_if(self.scopes, [&](auto& scope) {
    auto& list = scope.second;
    std::erase_if(list, [&](Document d) { return now[d] == kEnd; });
    for (Document& d : list) d = now[d];
    list.shrink_to_fit();
    return list.empty();
  });
}

std::vector<TextIndex::Match> TextIndex::search(std::string_view text, const Filter& filter, size_t limit,
                                                const std::function<bool(FactId)>& accept) const {
  const Impl& self = *impl_;
  std::vector<Match> best;  // a heap with the worst on top
  if (limit == 0) return best;
  std::vector<WordCursor> words = self.cursors(text);
  std::vector<ScopeCursor> scopes = self.cursors(filter);
  // below[i]: the most that the words before i add together.
  std::vector<double> below(words.size() + 1);
  for (size_t i = 0; i < words.size(); ++i) below[i + 1] = below[i] + words[i].bound;
  double least = 0;  // what a score must exceed
  size_t first = 0;  // words before it bring up no fact: below[first] <= least
  while (first < words.size()) {
    Document document = kEnd;
    for (size_t i = first; i < words.size(); ++i) document = std::min(document, words[i].document());
    const Document fits = next_in_all(scopes, document);
    if (fits == kEnd) break;
    if (fits != document) {
      for (size_t i = first; i < words.size(); ++i) words[i].at = seek(words[i].at, words[i].end, fits);
      continue;
    }
    double score = 0;
    for (size_t i = first; i < words.size(); ++i) {
      if (words[i].document() != document) continue;
      score += words[i].score(words[i].at->count, words[i].at->length);
      ++words[i].at;
    }
    for (size_t i = first; i-- > 0 && score + below[i + 1] > least;) {
      words[i].at = seek(words[i].at, words[i].end, document);
      if (words[i].document() == document) score += words[i].score(words[i].at->count, words[i].at->length);
    }
    const FactId id = self.ids[document];
    if (id == 0 || score <= least || (accept && !accept(id))) continue;
    best.push_back({id, score});
    std::push_heap(best.begin(), best.end(), better);
    if (best.size() < limit) continue;
    if (best.size() > limit) {
      std::pop_heap(best.begin(), best.end(), better);
      best.pop_back();
    }
    least = best.front().bm25;
    while (first < words.size() && below[first + 1] <= least) ++first;
  }
  std::sort_heap(best.begin(), best.end(), better);
  return best;
}

}  // namespace skep::memory
