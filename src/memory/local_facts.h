#pragma once
// Long-term memory in this process: facts in memory, their vectors in a VectorIndex, their words in a TextIndex, and on
// disk a snapshot and the log of what changed since. doc/memory.md has the files.
//
// Adding costs one write of the fact's own size. Search sees it at once; the graph of the vectors is built by work().
// When the log outgrows the snapshot both are folded into a new snapshot, so that start-up reads a bounded amount.
// Forgetting folds at once: what was forgotten stands in no file afterwards. If that fails (a full disk), the fact is
// gone for every search and the folding is due, also after a restart.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/folder_lock.h"
#include "memory/fact.h"
#include "memory/fact_log.h"
#include "memory/file.h"
#include "memory/scoring.h"
#include "memory/text_index.h"
#include "memory/vector_index.h"

namespace skep::memory {

struct LocalFactsOptions {
  std::string folder;  // made if missing; one process at a time
  Durability durability = Durability::process;
  Scoring scoring;
  VectorIndexOptions index;
  Bytes fold_at = 16_MiB;        // of log; and it must have outgrown half of the snapshot
  size_t scan_at_most = 10'000;  // a filter that leaves so few facts is answered by scanning them
};

class LocalFacts final : public LongTerm {
 public:
  static Result<std::unique_ptr<LocalFacts>> open(LocalFactsOptions options);
  ~LocalFacts() override;  // sync(), as far as possible
  LocalFacts(const LocalFacts&) = delete;
  LocalFacts& operator=(const LocalFacts&) = delete;

  Result<std::vector<Added>> add(std::vector<NewFact> facts) override;
  Result<std::vector<Hit>> search(const Query& query) override;
  Result<std::vector<Fact>> list(const Filter& filter, FactId after, size_t limit) override;
  Result<size_t> forget(const std::vector<FactId>& ids) override;
  Result<size_t> forget(const Filter& filter) override;
  Status use_embedder(const std::string& identity, size_t dimensions) override;
  Result<std::vector<Fact>> without_vector(size_t limit, FactId after) override;
  Status set_vectors(const std::vector<std::pair<FactId, std::vector<float>>>& vectors) override;
  Status sync() override;
  Result<LongTermStatistics> statistics() override;
  bool work() override;

  // A new snapshot now; the log begins anew.
  Status fold();

 private:
  struct Candidate;
  explicit LocalFacts(LocalFactsOptions options, FolderLock lock)
      : options_(std::move(options)), lock_(std::move(lock)) {}

  // Opening.
  Status load();
  Status load_snapshot();
  Status load_log();
  void load_graph();
  void apply(FactRecord&& record);

  // Changing: each is on disk before it is applied.
  Status append(const std::vector<FactRecord>& records);
  void insert(Fact fact, const QuantizedVector& vector);
  void renew(FactId id, WallTime time, std::vector<std::string> tags);
  void erase(FactId id);
  void set_embedder(const std::string& identity, size_t dimensions);
  std::optional<FactId> same_text(const NewFact& fact) const;
  std::optional<FactId> same_meaning(const NewFact& fact, const QuantizedVector& vector) const;
  Status check_vector(const std::vector<float>& vector) const;
  Status write_snapshot(uint64_t generation) const;
  void write_graph(uint64_t generation) const;

  // Searching.
  std::vector<FactId> ids_of(const Filter& filter) const;
  std::vector<VectorIndex::Neighbour> nearest(const QuantizedVector& query, const Filter& filter, size_t k) const;

  [[nodiscard]] std::string path(uint64_t generation, const char* suffix) const;
  void remove_other_files() const;

  LocalFactsOptions options_;
  FolderLock lock_;
  std::map<FactId, Fact> facts_;
  std::unordered_map<std::string, std::vector<FactId>> by_agent_;  // ascending
  std::unordered_map<uint64_t, FactId> by_hash_;                   // of agent and normalized text
  std::optional<VectorIndex> index_;                               // none before the first embedder
  std::set<FactId> without_vector_;
  TextIndex text_;
  std::optional<FactLog> log_;
  std::string embedder_;
  FactId next_ = 1;
  uint64_t generation_ = 1;
  uint64_t sequence_ = 0;  // changes since the beginning
  Bytes snapshot_size_;
  bool purge_due_ = false;                 // something forgotten still stands in a file
  size_t fold_pause_ = 0, fold_wait_ = 0;  // calls of work() between tries to fold, while the disk refuses
  std::vector<std::string> problems_;
};

}  // namespace skep::memory
