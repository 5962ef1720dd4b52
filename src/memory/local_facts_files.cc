// Opening, folding and measuring the files of LocalFacts.

#include <xxhash.h>

#include <charconv>
#include <cstring>
#include <filesystem>

#include "memory/local_facts.h"

namespace skep::memory {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "facts-";
constexpr size_t kGraphHeader = 16;  // XXH3-128 of what follows

// "facts-12.log" → 12; 0 for other names.
uint64_t generation_of(const std::string& name) {
  if (!name.starts_with(kPrefix)) return 0;
  uint64_t generation = 0;
  const char* first = name.data() + kPrefix.size();
  const auto [end, error] = std::from_chars(first, name.data() + name.size(), generation);
  return error == std::errc() && *end == '.' ? generation : 0;
}

std::string graph_check(std::string_view bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  return {reinterpret_cast<const char*>(canonical.digest), sizeof canonical.digest};
}

}  // namespace

std::string LocalFacts::path(uint64_t generation, const char* suffix) const {
  return fmt::format("{}/{}{}.{}", options_.folder, kPrefix, generation, suffix);
}

Result<std::unique_ptr<LocalFacts>> LocalFacts::open(LocalFactsOptions options) {
  SKEP_TRY(FolderLock lock, FolderLock::take(options.folder));
  std::unique_ptr<LocalFacts> facts(new LocalFacts(std::move(options), std::move(lock)));
  SKEP_CHECK(facts->load());
  return facts;
}

Status LocalFacts::load() {
  std::error_code error;
  uint64_t snapshot = 0, log = UINT64_MAX;
  for (const auto& entry : fs::directory_iterator(options_.folder, error)) {
    const std::string name = entry.path().filename();
    const uint64_t generation = generation_of(name);
    if (name.ends_with(".snapshot")) snapshot = std::max(snapshot, generation);
    if (name.ends_with(".log")) log = std::min(log, generation);
  }
  if (error) return fail(ErrorCode::io, fmt::format("cannot read {}: {}", options_.folder, error.message()));
  // A snapshot stands under its name only when it is whole and its log is there. A log above it, or a second one where
  // there is no snapshot, is of a folding that did not get that far.
  generation_ = snapshot > 0 ? snapshot : log == UINT64_MAX ? 1 : log;
  if (snapshot > 0) SKEP_CHECK(load_snapshot());
  if (fs::exists(path(generation_, "log"), error)) {
    SKEP_CHECK(load_log());
  } else {
    SKEP_TRY(log_, FactLog::create(path(generation_, "log"), {index_ ? static_cast<uint32_t>(index_->dimensions()) : 0,
                                                              embedder_, next_, sequence_}));
    SKEP_CHECK(sync_folder(options_.folder));
  }
  remove_other_files();
  return {};
}

Status LocalFacts::load_snapshot() {
  const std::string file = path(generation_, "snapshot");
  SKEP_TRY(const std::string bytes, read_file(file));
  snapshot_size_ = Bytes(static_cast<int64_t>(bytes.size()));
  bool ended = false;
  auto scan = scan_facts(bytes, FactFileKind::snapshot, [&](FactRecord&& record) {
    if (const auto* head = std::get_if<HeadRecord>(&record)) {
      next_ = head->next;
      sequence_ = head->sequence;
      set_embedder(head->embedder, head->dimensions);
      load_graph();
    } else {
      ended = ended || std::holds_alternative<EndRecord>(record);
      apply(std::move(record));
    }
  });
  if (!scan)
    return fail(scan.error().code, file + ": " + scan.error().message, "restore it from a backup, or move it away");
  if (scan->damaged > 0 || scan->torn > 0 || !ended) {
    problems_.push_back(fmt::format("{}: {} bytes are damaged; {} facts could be read", file,
                                    scan->damaged + scan->torn, facts_.size()));
  }
  // What the graph has and the snapshot hasn't (damage): not to be found.
  std::vector<FactId> strangers;
  if (index_) {
    index_->each_indexed([&](FactId id) {
      if (!facts_.contains(id)) strangers.push_back(id);
    });
    for (const FactId id : strangers) index_->erase(id);
  }
  return {};
}

// The graph is derived: without a good one, vectors are linked again by work().
void LocalFacts::load_graph() {
  if (!index_) return;
  const auto bytes = read_file(path(generation_, "graph"));
  if (!bytes || bytes->size() < kGraphHeader) return;
  const std::string_view graph = std::string_view(*bytes).substr(kGraphHeader);
  if (graph_check(graph) != std::string_view(*bytes).substr(0, kGraphHeader) || !index_->load(graph)) {
    problems_.push_back(path(generation_, "graph") + " is damaged and is made again");
    index_.emplace(index_->dimensions(), options_.index);
  }
}

Status LocalFacts::load_log() {
  const std::string file = path(generation_, "log");
  SKEP_TRY(const std::string bytes, read_file(file));
  auto scan = scan_facts(bytes, FactFileKind::log, [&](FactRecord&& record) {
    if (auto* head = std::get_if<HeadRecord>(&record)) {
      // The first log says by itself what a snapshot would.
      if (facts_.empty() && !index_) {
        next_ = std::max(next_, head->next);
        sequence_ = std::max(sequence_, head->sequence);
        if (head->dimensions > 0) set_embedder(head->embedder, head->dimensions);
      }
      return;
    }
    ++sequence_;
    apply(std::move(record));
  });
  if (!scan) {
    // Killed while it was being made: nothing was acknowledged from it yet.
    if (bytes.size() < kFactFileHeader + kFactRecordHeader) {
      std::error_code ignored;
      fs::remove(file, ignored);
      SKEP_TRY(log_, FactLog::create(file, {index_ ? static_cast<uint32_t>(index_->dimensions()) : 0, embedder_, next_,
                                            sequence_}));
      return sync_folder(options_.folder);
    }
    return fail(scan.error().code, file + ": " + scan.error().message, "restore it from a backup, or move it away");
  }
  if (scan->damaged > 0) {
    problems_.push_back(
        fmt::format("{}: {} bytes in the middle are damaged and were passed over", file, scan->damaged));
  }
  SKEP_TRY(log_, FactLog::open(file, scan->end));
  return {};
}

Status LocalFacts::write_snapshot(uint64_t generation) const {
  SKEP_TRY(FileReplacement file, FileReplacement::begin(path(generation, "snapshot")));
  SKEP_CHECK(file.write(fact_file_header(FactFileKind::snapshot)));
  const auto dimensions = index_ ? static_cast<uint32_t>(index_->dimensions()) : 0;
  SKEP_CHECK(file.write(frame(HeadRecord{dimensions, embedder_, next_, sequence_})));
  for (const auto& [id, fact] : facts_) {
    AddRecord record{fact, {}};
    if (index_) record.vector = index_->vector(id).value_or(QuantizedVector());
    SKEP_CHECK(file.write(frame(record)));
  }
  SKEP_CHECK(file.write(frame(EndRecord{facts_.size()})));
  return file.commit();
}

void LocalFacts::write_graph(uint64_t generation) const {
  if (!index_) return;
  auto file = FileReplacement::begin(path(generation, "graph"));
  if (!file) return;
  const std::string bytes = index_->save();
  if (!file->write(graph_check(bytes)) || !file->write(bytes)) return;
  static_cast<void>(file->commit());
}

Status LocalFacts::fold() {
  const uint64_t next = generation_ + 1;
  const auto drop_next = [&] {
    std::error_code ignored;
    for (const char* suffix : {"snapshot", "log", "graph"}) fs::remove(path(next, suffix), ignored);
  };
  drop_next();  // what an earlier try may have left
  // The log first: once the snapshot has its name, a restart reads that one, and changes must go where it looks.
  SKEP_TRY(FactLog log, FactLog::create(path(next, "log"), {index_ ? static_cast<uint32_t>(index_->dimensions()) : 0,
                                                            embedder_, next_, sequence_}));
  write_graph(next);
  const Status written = write_snapshot(next);
  if (!written) {
    drop_next();
    // A snapshot that has its name and can't be removed is what a restart will read: then it counts from now on.
    std::error_code error;
    if (!fs::exists(path(next, "snapshot"), error) && !error) return written;
  }
  log_ = std::move(log);
  generation_ = next;
  std::error_code error;
  snapshot_size_ = Bytes(static_cast<int64_t>(fs::file_size(path(next, "snapshot"), error)));
  remove_other_files();
  if (purge_due_) text_.sweep();
  purge_due_ = false;
  return {};
}

void LocalFacts::remove_other_files() const {
  std::error_code error;
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator(options_.folder, error)) {
    const std::string name = entry.path().filename();
    const uint64_t generation = generation_of(name);
    const bool words = name.starts_with("words.sqlite");  // earlier versions kept the full text there
    if (words || (generation != 0 && (generation != generation_ || name.ends_with(".new")))) {
      old.push_back(entry.path());
    }
  }
  for (const fs::path& file : old) fs::remove(file, error);
}

Result<LongTermStatistics> LocalFacts::statistics() {
  LongTermStatistics s;
  s.facts = facts_.size();
  s.vectors = index_ ? index_->size() : 0;
  s.dimensions = index_ ? index_->dimensions() : 0;
  s.embedder = embedder_;
  s.unindexed = index_ ? index_->unindexed() : 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(options_.folder, error)) {
    s.disk += Bytes(static_cast<int64_t>(entry.file_size(error)));
  }
  size_t text = 0;
  for (const auto& [id, fact] : facts_) {
    text += sizeof(Fact) + 150 + fact.text.capacity() + fact.source.capacity() + fact.tags.size() * sizeof(std::string);
  }
  s.memory = Bytes(static_cast<int64_t>(text)) + text_.memory() + (index_ ? index_->memory() : Bytes());
  s.problems = problems_;
  return s;
}

}  // namespace skep::memory
