#pragma once
// Where a population's state lives: one mapping, anonymous or of a file, cut into sections. For a file it also carries
// the commit protocol that makes the last complete step survive kill -9 at any instant (doc/population-file.md):
//
// Every agent has two records with a stamp each, and rows for its beliefs that records point at. A step reads the
// record with the highest stamp not above the committed sequence number, writes a row that this record does not name,
// then the other record with the next number as its stamp, and only when all agents are done is that number committed,
// by one of two alternating commit slots with a checksum. A process that dies in between leaves records whose stamp is
// above the committed number: they are ignored. No write ever touches what the committed state needs, so nothing is
// torn, and no journal is replayed. Own models have two sides, each with its stamp.
//
// That order is what other processes and a restart see of a *killed process*: its stores are in the page cache. Against
// a power cut, sync() writes checksums over the committed sides and flushes data before header; open verifies them.
// Internal to mind/belief.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/result.h"

namespace skep::belief {

// What the sections are sized by; fixed for the life of the file.
struct StateLayout {
  uint32_t capacity = 0;
  uint32_t element = 4;  // bytes of a belief entry: 4 or 8, of packed rows 1 or 2 (fixed_rows.h)
  uint32_t stride = 0;   // entries of a belief row
  uint32_t modalities = 0;
  uint32_t history = 0;          // entries kept per agent
  uint32_t history_beliefs = 0;  // bool
  uint32_t sides = 1;            // rows per agent: twice as many for files, and for learning; 0: they lie elsewhere
  uint32_t own_sides = 0;        // 0: agents have nothing of their own; 1; 2 in a file
  uint64_t own_block = 0;        // bytes of one agent's own model and habits
  uint64_t seed = 0;
  uint32_t backend = 0;  // BackendKind
  uint32_t flags = 0;    // kLearning …
  double prune = 0;      // sparse rows: entries of at most this are dropped

  friend bool operator==(const StateLayout&, const StateLayout&) = default;
};

inline constexpr uint32_t kLearning = 1;      // own models learn
inline constexpr uint32_t kOwnHabits = 2;     // the own block has habits
inline constexpr uint32_t kNoModels = 4;      // and nothing else
inline constexpr uint32_t kOwnBfloat16 = 16;  // A and B in the own block are
inline constexpr uint32_t kSparseRows = 8;    // rows are heads, and blocks of the heap: RowHead

// One agent, one side.
struct SlotRecord {
  uint64_t stamp = 0;  // 0: never written
  uint32_t generation = 0;
  uint32_t age = 0;  // updates since add()
  float free_energy = 0;
  uint16_t action = 0;           // chosen after the last update
  uint16_t previous_action = 0;  // between the last two beliefs
  uint32_t flags = 0;            // kAlive, kStarted, and where the agent's rows are: row_flags()
  uint32_t ring = 0;             // entries ever written to the slot's history, whoever lived in it
};
inline constexpr uint32_t kAlive = 1;
inline constexpr uint32_t kStarted = 2;  // the belief counts, not D
inline constexpr uint32_t kRecordFlags = 0x3f;
// Which of the agent's rows is its belief, and which the one before it. A record may change while the rows stay.
constexpr uint32_t row_flags(uint32_t row, uint32_t before) { return row << 2 | before << 4; }
constexpr uint32_t row_of(uint32_t flags) { return flags >> 2 & 3; }
constexpr uint32_t row_before_of(uint32_t flags) { return flags >> 4 & 3; }
static_assert(sizeof(SlotRecord) == 32);

// One agent, one side, where rows are sparse: what is kept of its belief lies in the heap.
struct RowHead {
  float error = 0;     // the agent's error bound
  uint32_t bytes = 0;  // (state, probability) pairs of 8 each, or as many as a full row has; 0: none
  uint64_t at = 0;     // in the heap
};
static_assert(sizeof(RowHead) == 16);

struct HistoryHeader {  // then one uint16 per modality
  uint16_t action;
  uint16_t free_energy;  // half precision
};

class StateFile {
 public:
  // In memory: huge pages where they help.
  static Result<StateFile> create(const StateLayout& layout);
  // A new file; refuses to overwrite one. `model` is opaque here.
  static Result<StateFile> create(const std::filesystem::path& path, const StateLayout& layout,
                                  std::span<const std::byte> model);
  // Verifies header, sizes, commit slots, and the checksums if the file was sealed. Stamps above the committed number,
  // left by a step that never completed, are cleared.
  static Result<StateFile> open(const std::filesystem::path& path);

  StateFile(StateFile&& other) noexcept;
  StateFile& operator=(StateFile&& other) noexcept;
  ~StateFile();

  [[nodiscard]] const StateLayout& layout() const { return layout_; }
  [[nodiscard]] std::span<const std::byte> model() const;
  [[nodiscard]] bool durable() const { return fd_ >= 0; }
  [[nodiscard]] size_t bytes() const { return size_ + heap_bytes_; }

  [[nodiscard]] std::byte* beliefs() const { return base_ + beliefs_; }  // [capacity][sides][stride]
  // Sparse rows, durable only. The heap is the end of the file and grows with what is believed; it stays where it is.
  // Growing reserves blocks of the disk, so that a full one is an error here. Thread: one at a time; others may read
  // what was there.
  [[nodiscard]] RowHead* head(uint32_t slot, uint32_t side) const;
  [[nodiscard]] std::byte* heap() const { return base_ + size_; }
  [[nodiscard]] size_t heap_bytes() const { return heap_bytes_; }
  Status grow_heap(size_t bytes);
  [[nodiscard]] SlotRecord* record(uint32_t slot, uint32_t side) const;   // durable only
  [[nodiscard]] std::byte* own(uint32_t slot, uint32_t side) const;       // own_block bytes
  [[nodiscard]] uint64_t* own_stamp(uint32_t slot, uint32_t side) const;  // durable only
  // Entry `number` (since the slot exists) of the ring; depth + 1 of them, so that a step that never completes spoils
  // only the spare one.
  [[nodiscard]] HistoryHeader* history(uint32_t slot, uint32_t number) const;
  // A row of f32, or a packed one where rows are packed to one size.
  [[nodiscard]] std::byte* history_belief(uint32_t slot, uint32_t number) const;

  // Committed sequence number and steps. In memory they are just counters.
  [[nodiscard]] uint64_t sequence() const { return sequence_; }
  [[nodiscard]] uint64_t steps() const { return steps_; }
  // Makes everything stamped sequence() + 1 the committed state.
  void commit(uint64_t steps);
  // Seals the committed state with checksums and flushes it to the disk.
  Status sync();

 private:
  StateFile() = default;
  void plan_sections();
  [[nodiscard]] size_t most_heap() const;
  Status map(size_t size);
  Status recover();
  void clear_unfinished();
  enum class Sealed : uint8_t { committed, as_before_version_4 };
  [[nodiscard]] uint64_t checksum_of_state(Sealed what = Sealed::committed) const;
  void add_row(void* hash, uint32_t slot, uint32_t side) const;
  void release();

  StateLayout layout_;
  std::byte* base_ = nullptr;
  size_t size_ = 0;        // of all sections but the heap
  size_t heap_bytes_ = 0;  // what there is of it
  size_t mapped_ = 0;      // with what the heap may grow to
  int fd_ = -1;
  size_t model_ = 0, model_bytes_ = 0;
  size_t records_ = 0, own_stamps_ = 0, beliefs_ = 0, history_ = 0, history_beliefs_ = 0, own_ = 0;
  size_t history_entry_ = 0, history_row_ = 0;  // bytes
  uint64_t sequence_ = 0, steps_ = 0;
};

}  // namespace skep::belief
