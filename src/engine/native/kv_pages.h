#pragma once
// The KV cache as pages of 16 consecutive positions, all layers and heads of them together. A page belongs to every
// sequence that refers to it; who writes to a page that others refer to gets a copy of his own first. So a shared
// prefix is a reference per 16 tokens, and attention touches no page but its own sequence's.
//
// A sequence is, per page of positions, a page and the set of its slots that count for this sequence. Slots outside the
// set may hold other sequences' numbers (never read) or nothing. Ranges may begin and end anywhere: where two sources
// meet within one page, the tokens are copied (at most 15 per meeting point).
//
// Thread: one at a time. Pages are zero when first used, so that no slot ever holds what is not a number.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "kernel/lm/kernels.h"

namespace skep::engine::native {

struct KvLayout {
  kernel::lm::KvType type = kernel::lm::KvType::f16;
  int layers = 0, heads = 0, head_size = 0;

  [[nodiscard]] int64_t head_bytes() const { return kernel::lm::kv_head_bytes(type, head_size); }
  [[nodiscard]] int64_t page_bytes() const { return 2 * head_bytes() * heads * layers; }
  // From the page's start to a head's keys; its values follow.
  [[nodiscard]] int64_t keys_at(int layer, int head) const {
    return 2 * head_bytes() * (int64_t{layer} * heads + head);
  }
  [[nodiscard]] int64_t values_at(int layer, int head) const { return keys_at(layer, head) + head_bytes(); }
  friend bool operator==(const KvLayout&, const KvLayout&) = default;
};

class KvPages {
 public:
  // Room for `cells` tokens in up to `sequences` sequences. Address space for the worst rounding is reserved at once;
  // memory is taken as pages are first used. A limit on the process's data (RLIMIT_DATA) must have room for the cells'
  // pages, out_of_memory otherwise; those of rounding count towards it when they are first used, and are not there
  // where it has none left.
  static Result<KvPages> create(const KvLayout& layout, int cells, int sequences);
  KvPages(KvPages&& other) noexcept;
  KvPages& operator=(KvPages&&) = delete;
  ~KvPages();

  [[nodiscard]] const KvLayout& layout() const { return layout_; }

  // Makes the slots [begin, end) of `sequence` writable by it alone, and hers. overloaded: no page is free; then
  // nothing has changed that a reader could see. discard() takes the slots back.
  Status extend(int sequence, int begin, int end);

  // Whether every position in [begin, end) is there.
  [[nodiscard]] bool holds(int sequence, int begin, int end) const;
  // The pages of positions 0, 16, 32 …; valid until the next change.
  [[nodiscard]] const uint8_t* const* pages(int sequence) const {
    return sequences_[static_cast<size_t>(sequence)].pages.data();
  }
  // To write a slot that extend() gave.
  [[nodiscard]] uint8_t* writable(int sequence, int position);

  // Slots of `from` in [begin, end) become `to`'s too. Ends early where a limit on data (above) leaves no page for a
  // copy of rounding: holds() tells.
  void share(int from, int to, int begin, int end);
  void drop(int sequence, int begin, int end);

  // The pages that hold [begin, end), slots outside it as zeros, behind a header with layout and model hash.
  [[nodiscard]] std::string save(int sequence, int begin, int end, uint64_t model_hash) const;
  // corrupt: other layout, model, version or range, damaged bytes. overloaded: no pages. Both leave all as it was.
  Status load(int sequence, int begin, int end, uint64_t model_hash, std::string_view bytes);

  [[nodiscard]] Bytes bytes_in_use() const;   // of pages that somebody refers to
  [[nodiscard]] Bytes bytes_touched() const;  // the most that it ever was: what the process holds
  [[nodiscard]] int pages_in_use() const { return used_; }

 private:
  struct Sequence {
    std::vector<const uint8_t*> pages;  // null: none
    std::vector<uint16_t> slots;        // bit i: slot i counts
  };
  KvPages(const KvLayout& layout, uint8_t* memory, int capacity, int sequences);

  bool claim(int pages);  // the system counts the pages below as data, and they may be written
  [[nodiscard]] int number_of(const uint8_t* page) const { return static_cast<int>((page - memory_) / stride_); }
  [[nodiscard]] uint8_t* take();  // a page with one reference, contents undefined but numbers; null: none free
  void give_back(const uint8_t* page);
  bool own(Sequence& s, size_t index);  // makes the page at `index` hers alone; false: none free
  void copy_slots(const uint8_t* from, uint8_t* to, uint16_t slots) const;
  void clear_slots(uint8_t* page, uint16_t slots) const;
  template <typename F>
  void each_slot_run(uint16_t slots, F&& f) const;

  KvLayout layout_;
  int64_t stride_ = 0;  // bytes from page to page
  uint8_t* memory_ = nullptr;
  int capacity_ = 0;
  int claimed_ = 0;
  int touched_ = 0;  // pages below were used before
  int used_ = 0;
  std::vector<int> free_;  // used before and free again: taken first
  std::vector<int> references_;
  std::vector<Sequence> sequences_;
};

}  // namespace skep::engine::native
