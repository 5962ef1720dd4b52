#include "memory/similar_questions.h"

#include <algorithm>

namespace skep::memory {
namespace {

constexpr Duration kIndexPause = std::chrono::milliseconds(5);
constexpr size_t kIndexSlice = 4;  // about a millisecond of the loop
constexpr size_t kPerEntry = 500;  // of tables and links (vector_index.h)
constexpr size_t kPerScope = 500;  // of an index of its own

}  // namespace

using cache::CacheKey;

SimilarQuestions::SimilarQuestions(EventLoop& loop, Embedder& embedder, SimilarQuestionsOptions options)
    : loop_(loop), embedder_(embedder), options_(options) {}

SimilarQuestions::~SimilarQuestions() {
  *alive_ = false;
  loop_.cancel(timer_);
}

// Vectors of another model can't be compared: they all go.
bool SimilarQuestions::same_embedder() {
  const auto identity = embedder_.identity();
  if (!identity) return false;
  if (*identity != identity_) {
    identity_ = *identity;
    dimensions_ = 0;
    young_ = {};
    old_ = {};
    to_index_.clear();
  }
  return true;
}

void SimilarQuestions::find(const CacheKey& scope, const std::string& question, double least,
                            std::function<void(std::vector<Match>)> done) {
  const bool known = same_embedder() && (young_.scopes.contains(scope) || old_.scopes.contains(scope));
  if (!known) return loop_.post([done = std::move(done)] { done({}); });
  embedder_.embed(question, [this, alive = alive_, scope, least, done = std::move(done)](const Result<Vector>& vector) {
    if (!*alive) return;
    std::vector<Match> matches;
    if (vector && (*vector)->size() == dimensions_) {
      const QuantizedVector query = quantize(**vector);
      search(young_, scope, query, least, matches);
      search(old_, scope, query, least, matches);
      std::sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) { return a.cosine > b.cosine; });
      if (matches.size() > options_.matches) matches.resize(options_.matches);
    }
    done(std::move(matches));
  });
}

void SimilarQuestions::search(const Generation& generation, const CacheKey& scope, const QuantizedVector& query,
                              double least, std::vector<Match>& matches) const {
  const auto index = generation.scopes.find(scope);
  if (index == generation.scopes.end()) return;
  for (const auto& near : index->second.search(query, options_.matches)) {
    if (double{near.similarity} < least) break;
    const Entry& entry = generation.entries.at(near.id);
    matches.push_back({entry.answer, entry.question, double{near.similarity}});
  }
}

void SimilarQuestions::add(const CacheKey& scope, const std::string& question, const CacheKey& answer,
                           const std::string& agent) {
  if (!same_embedder()) return;
  embedder_.embed(question, [this, alive = alive_, scope, question, answer, agent](const Result<Vector>& vector) {
    if (*alive && vector && !(*vector)->empty()) insert(scope, question, answer, agent, **vector);
  });
}

void SimilarQuestions::insert(const CacheKey& scope, const std::string& question, const CacheKey& answer,
                              const std::string& agent, const std::vector<float>& vector) {
  if (dimensions_ == 0) dimensions_ = vector.size();
  if (vector.size() != dimensions_) return;
  forget(answer);
  const Bytes cost(static_cast<int64_t>(kPerEntry + kPerScope + question.size() + dimensions_));
  const bool full = young_.entries.size() >= std::max<size_t>(1, options_.entries / 2) ||
                    young_.bytes + cost > Bytes(options_.memory.count / 2);
  if (full) {
    old_ = std::move(young_);
    young_ = {};
    to_index_.clear();
  }
  auto index = young_.scopes.find(scope);
  if (index == young_.scopes.end()) {
    index = young_.scopes.emplace(scope, VectorIndex(dimensions_, options_.index)).first;
  } else {
    young_.bytes -= Bytes(kPerScope);  // it has one
  }
  young_.bytes += cost;
  index->second.add(next_, quantize(vector));
  young_.entries.emplace(next_, Entry{scope, answer, question, agent});
  young_.by_answer[answer] = next_++;
  if (index->second.unindexed() > options_.index.exact_below) index_later(scope);
}

void SimilarQuestions::erase(Generation& generation, const CacheKey& answer) {
  const auto found = generation.by_answer.find(answer);
  if (found == generation.by_answer.end()) return;
  const auto entry = generation.entries.find(found->second);
  generation.scopes.at(entry->second.scope).erase(found->second);
  generation.entries.erase(entry);
  generation.by_answer.erase(found);
}

void SimilarQuestions::forget(const CacheKey& answer) {
  erase(young_, answer);
  erase(old_, answer);
}

void SimilarQuestions::forget_agent(const std::string& agent) {
  for (Generation* generation : {&young_, &old_}) {
    std::vector<CacheKey> answers;
    for (const auto& [id, entry] : generation->entries) {
      if (entry.agent == agent) answers.push_back(entry.answer);
    }
    for (const CacheKey& answer : answers) erase(*generation, answer);
  }
}

void SimilarQuestions::index_later(const CacheKey& scope) {
  if (std::find(to_index_.begin(), to_index_.end(), scope) == to_index_.end()) to_index_.push_back(scope);
  if (timer_ != TimerId::none) return;
  timer_ = loop_.after(kIndexPause, [this] {
    timer_ = TimerId::none;
    if (to_index_.empty()) return;
    const CacheKey next = to_index_.back();
    to_index_.pop_back();
    const auto index = young_.scopes.find(next);
    if (index != young_.scopes.end() && index->second.index_some(kIndexSlice)) index_later(next);
    if (timer_ == TimerId::none && !to_index_.empty()) {
      const CacheKey other = to_index_.back();
      index_later(other);
    }
  });
}

}  // namespace skep::memory
