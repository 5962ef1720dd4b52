#pragma once
// The seam to semantic lookup: finds questions that mean the same. Whoever has an embedder and a vector index
// implements it; the cache asks it only for agents that opted in, and never trusts it alone (guard.h).

#include <functional>
#include <string>
#include <vector>

#include "cache/cache_key.h"

namespace skep::cache {

class Similar {
 public:
  virtual ~Similar() = default;

  struct Match {
    CacheKey key;          // of the answer
    std::string question;  // that it answered
    double cosine = 0;
  };
  // The nearest questions of the same scope, nearest first, at most a handful, all with a cosine of `least` or more.
  // `done` is called on the event loop, once; empty when there is none, or no embedder.
  virtual void find(const CacheKey& scope, const std::string& question, double least,
                    std::function<void(std::vector<Match>)> done) = 0;
  // Bounded by its own limit; the oldest go. `agent`: who was asked.
  virtual void add(const CacheKey& scope, const std::string& question, const CacheKey& answer,
                   const std::string& agent) = 0;
  virtual void forget(const CacheKey& answer) = 0;
  virtual void forget_agent(const std::string& agent) = 0;
};

}  // namespace skep::cache
