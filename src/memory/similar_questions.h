#pragma once
// Semantic lookup for the response cache: questions by their vectors, apart by scope. In memory only; what is cached
// outlives it, and is found again by its words until it was asked once more.
//
// Bounded by entries and by bytes: when half of either is newer than the last time, the older half goes at once, which
// costs nothing and leaves no holes in a graph. Lives on the event loop.

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/event_loop.h"
#include "base/units.h"
#include "cache/similar.h"
#include "memory/embedder.h"
#include "memory/vector_index.h"

namespace skep::memory {

struct SimilarQuestionsOptions {
  size_t entries = 100'000;
  Bytes memory = 128_MiB;  // about: questions, vectors and what stands around them
  size_t matches = 4;      // of one find()
  VectorIndexOptions index;
};

class SimilarQuestions final : public cache::Similar {
 public:
  // Both outlive this.
  SimilarQuestions(EventLoop& loop, Embedder& embedder, SimilarQuestionsOptions options = {});
  ~SimilarQuestions() override;  // find()s under way are answered nothing more

  void find(const cache::CacheKey& scope, const std::string& question, double least,
            std::function<void(std::vector<Match>)> done) override;
  void add(const cache::CacheKey& scope, const std::string& question, const cache::CacheKey& answer,
           const std::string& agent) override;
  void forget(const cache::CacheKey& answer) override;
  void forget_agent(const std::string& agent) override;

  [[nodiscard]] size_t entries() const { return young_.entries.size() + old_.entries.size(); }
  [[nodiscard]] Bytes memory() const { return young_.bytes + old_.bytes; }

 private:
  using Id = VectorIndex::Id;
  struct Entry {
    cache::CacheKey scope{}, answer{};
    std::string question, agent;
  };
  struct Generation {
    std::unordered_map<cache::CacheKey, VectorIndex, cache::CacheKeyHash> scopes;
    std::unordered_map<Id, Entry> entries;
    std::unordered_map<cache::CacheKey, Id, cache::CacheKeyHash> by_answer;
    Bytes bytes;  // added to it; what was erased since counts until the generation goes
  };
  void insert(const cache::CacheKey& scope, const std::string& question, const cache::CacheKey& answer,
              const std::string& agent, const std::vector<float>& vector);
  void search(const Generation& generation, const cache::CacheKey& scope, const QuantizedVector& query, double least,
              std::vector<Match>& matches) const;
  static void erase(Generation& generation, const cache::CacheKey& answer);
  bool same_embedder();
  void index_later(const cache::CacheKey& scope);

  EventLoop& loop_;
  Embedder& embedder_;
  SimilarQuestionsOptions options_;
  Generation young_, old_;
  std::string identity_;  // whose vectors are here
  size_t dimensions_ = 0;
  Id next_ = 0;
  std::vector<cache::CacheKey> to_index_;  // scopes of the young generation with something in their tail
  TimerId timer_ = TimerId::none;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::memory
