#pragma once
// Nearest neighbours by cosine among quantized vectors: a graph (HNSW, Malkov and Yashunin 2018, by hnswlib with a
// space of ours) and a tail of what isn't in it yet, which is scanned. So adding costs a copy, a search sees what was
// just added, and the graph is built when there is time (index_some()). A small collection never gets one.
//
// Erasing leaves no trace of a vector: in the graph its node stays as a waypoint, but with the bytes of its nearest
// living neighbour.
//
// One thread at a time. Memory: per entry the bytes, 4 for the norm, and about 240 of links and tables.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "memory/quantized.h"

namespace skep::memory {

struct VectorIndexOptions {
  size_t neighbours = 16;     // M: links per node, twice as many on the lowest layer
  size_t construction = 64;   // candidates looked at when a node is linked
  size_t search = 64;         // candidates looked at in a search, at least
  size_t exact_below = 1024;  // so many are scanned before a graph is worth it
  size_t tail = 8192;         // more than that are indexed while adding, two for each added
};

class VectorIndex {
 public:
  using Id = uint64_t;  // below kNone
  static constexpr Id kNone = ~Id{0};
  struct Neighbour {
    Id id = kNone;
    float similarity = 0;  // cosine of the quantized vectors
  };

  explicit VectorIndex(size_t dimensions, VectorIndexOptions options = {});
  ~VectorIndex();
  VectorIndex(VectorIndex&&) noexcept;
  VectorIndex& operator=(VectorIndex&&) noexcept;

  [[nodiscard]] size_t dimensions() const;
  [[nodiscard]] size_t size() const;       // erased ones not counted
  [[nodiscard]] size_t unindexed() const;  // in the tail
  [[nodiscard]] size_t erased() const;     // nodes of the graph that are waypoints only
  [[nodiscard]] Bytes memory() const;

  // `id` is new. `vector` has `dimensions`.
  void add(Id id, const QuantizedVector& vector);
  void erase(Id id);  // unknown ids: nothing
  [[nodiscard]] bool contains(Id id) const;

  [[nodiscard]] std::optional<QuantizedVector> vector(Id id) const;

  // The nearest, at most `k`, best first. Approximate in the graph, exact in the tail.
  [[nodiscard]] std::vector<Neighbour> search(const QuantizedVector& query, size_t k) const;
  // The nearest among `ids`, exact; those without a vector are left out.
  [[nodiscard]] std::vector<Neighbour> search_among(std::span<const Id> ids, const QuantizedVector& query,
                                                    size_t k) const;
  [[nodiscard]] std::optional<float> similarity(Id id, const QuantizedVector& query) const;

  // Takes up to `count` from the tail into the graph. False: none is left that is worth it.
  bool index_some(size_t count);

  // The graph as bytes, without the tail, and back. corrupt: not what save() made for these dimensions and options.
  [[nodiscard]] std::string save() const;
  Status load(std::string_view bytes);  // into an empty index
  // Ids in the graph, for comparing with what should be there.
  void each_indexed(const std::function<void(Id)>& visit) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::memory
