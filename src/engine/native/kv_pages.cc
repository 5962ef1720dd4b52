#include "engine/native/kv_pages.h"

#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cassert>
#include <cstring>

namespace skep::engine::native {
namespace {

using kernel::lm::kPageTokens;
using kernel::lm::KvType;

// What stands before saved pages; see doc/kv-pages.md.
struct SavedHeader {
  char magic[8];
  uint32_t version;
  uint32_t type, layers, heads, head_size;
  int32_t begin, end;
  uint32_t reserved;
  uint64_t model_hash;
  uint64_t checksum;  // XXH3 of the pages
};
constexpr char kMagic[8] = {'S', 'K', 'E', 'P', 'K', 'V', 'P', 'G'};
constexpr uint32_t kVersion = 1;

SavedHeader header_for(const KvLayout& layout, int begin, int end, uint64_t model_hash) {
  SavedHeader h{};
  std::memcpy(h.magic, kMagic, sizeof kMagic);
  h.version = kVersion;
  h.type = static_cast<uint32_t>(layout.type);
  h.layers = static_cast<uint32_t>(layout.layers);
  h.heads = static_cast<uint32_t>(layout.heads);
  h.head_size = static_cast<uint32_t>(layout.head_size);
  h.begin = begin;
  h.end = end;
  h.model_hash = model_hash;
  return h;
}

constexpr uint16_t kWholePage = 0xffff;
constexpr int kClaimedAtOnce = 16;  // pages, so that few calls are made of the system

// The slots of page `index` that lie in [begin, end).
uint16_t slots_in(int index, int begin, int end) {
  const int first = std::max(begin - index * kPageTokens, 0), last = std::min(end - index * kPageTokens, kPageTokens);
  if (first >= last) return 0;
  return static_cast<uint16_t>((0xffffU >> static_cast<unsigned>(kPageTokens - (last - first)))
                               << static_cast<unsigned>(first));
}

int first_page(int begin) { return begin / kPageTokens; }
int page_end(int end) { return (end + kPageTokens - 1) / kPageTokens; }

}  // namespace

Result<KvPages> KvPages::create(const KvLayout& layout, int cells, int sequences) {
  assert(cells > 0 && sequences > 0);
  // Each sequence rounds at both ends, and copies a page where it forks or where two sources meet; twice the cells is
  // more than that ever comes to, and address space costs nothing.
  const int64_t capacity = 2 * (int64_t{cells} / kPageTokens + 1) + int64_t{4} * sequences;
  const int64_t stride = (layout.page_bytes() + 63) / 64 * 64;
  // What can't be written is no data to RLIMIT_DATA: with a thousand sequences rounding reserves gigabytes.
  void* memory = mmap(nullptr, static_cast<size_t>(capacity * stride), PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return fail(ErrorCode::out_of_memory,
                fmt::format("no address space for {} of KV pages", to_string(Bytes(capacity * stride))));
  }
  KvPages pages(layout, static_cast<uint8_t*>(memory), static_cast<int>(capacity), sequences);
  const int needed = cells / kPageTokens + 1;
  if (!pages.claim(needed)) {
    return fail(ErrorCode::out_of_memory,
                fmt::format("no memory for {} of KV pages", to_string(Bytes(needed * pages.stride_))),
                "a smaller context, or fewer slots");
  }
  return pages;
}

KvPages::KvPages(const KvLayout& layout, uint8_t* memory, int capacity, int sequences)
    : layout_(layout),
      stride_((layout.page_bytes() + 63) / 64 * 64),
      memory_(memory),
      capacity_(capacity),
      references_(static_cast<size_t>(capacity)),
      sequences_(static_cast<size_t>(sequences)) {}

KvPages::KvPages(KvPages&& other) noexcept
    : layout_(other.layout_),
      stride_(other.stride_),
      memory_(std::exchange(other.memory_, nullptr)),
      capacity_(other.capacity_),
      claimed_(other.claimed_),
      touched_(other.touched_),
      used_(other.used_),
      free_(std::move(other.free_)),
      references_(std::move(other.references_)),
      sequences_(std::move(other.sequences_)) {}

KvPages::~KvPages() {
  if (memory_ != nullptr) munmap(memory_, static_cast<size_t>(capacity_ * stride_));
}

bool KvPages::claim(int pages) {
  if (pages <= claimed_) return true;
  // The system protects its own pages, which need not end where ours do: the one that ours share is claimed twice.
  static const int64_t system_page = sysconf(_SC_PAGESIZE);
  const int64_t first = claimed_ * stride_ / system_page * system_page;
  if (mprotect(memory_ + first, static_cast<size_t>(pages * stride_ - first), PROT_READ | PROT_WRITE) != 0)
    return false;
  claimed_ = pages;
  return true;
}

uint8_t* KvPages::take() {
  int number = 0;
  if (!free_.empty()) {
    number = free_.back();
    free_.pop_back();
  } else if (touched_ < capacity_ &&
             (touched_ < claimed_ || claim(std::min(capacity_, touched_ + kClaimedAtOnce)) || claim(touched_ + 1))) {
    number = touched_++;
  } else {
    return nullptr;
  }
  assert(references_[static_cast<size_t>(number)] == 0);
  references_[static_cast<size_t>(number)] = 1;
  ++used_;
  return memory_ + number * stride_;
}

void KvPages::give_back(const uint8_t* page) {
  const int number = number_of(page);
  int& references = references_[static_cast<size_t>(number)];
  assert(references > 0);
  if (--references > 0) return;
  free_.push_back(number);
  --used_;
}

// Calls f(offset, bytes) for the stretches of a page that belong to consecutive slots of the set: keys lie with the
// tokens innermost, values with the tokens outermost.
template <typename F>
void KvPages::each_slot_run(uint16_t slots, F&& f) const {
  const int64_t width = layout_.type == KvType::q8 ? 1 : 2;
  const int64_t row = width * layout_.head_size;
  for (int first = 0; first < kPageTokens;) {
    if ((slots >> first & 1) == 0) {
      ++first;
      continue;
    }
    int last = first;
    while (last < kPageTokens && (slots >> last & 1) != 0) ++last;
    for (int layer = 0; layer < layout_.layers; ++layer) {
      for (int head = 0; head < layout_.heads; ++head) {
        const int64_t keys = layout_.keys_at(layer, head), values = layout_.values_at(layer, head);
        for (int d = 0; d < layout_.head_size; ++d) {
          f(keys + width * (int64_t{d} * kPageTokens + first), width * (last - first));
        }
        f(values + row * first, row * (last - first));
        if (layout_.type == KvType::q8) {
          f(keys + kPageTokens * row + 4 * int64_t{first}, int64_t{4} * (last - first));
          f(values + kPageTokens * row + 4 * int64_t{first}, int64_t{4} * (last - first));
        }
      }
    }
    first = last;
  }
}

void KvPages::copy_slots(const uint8_t* from, uint8_t* to, uint16_t slots) const {
  if (slots == kWholePage) {
    std::memcpy(to, from, static_cast<size_t>(layout_.page_bytes()));
    return;
  }
  each_slot_run(slots, [&](int64_t at, int64_t bytes) { std::memcpy(to + at, from + at, static_cast<size_t>(bytes)); });
}

void KvPages::clear_slots(uint8_t* page, uint16_t slots) const {
  each_slot_run(slots, [&](int64_t at, int64_t bytes) { std::memset(page + at, 0, static_cast<size_t>(bytes)); });
}

bool KvPages::own(Sequence& s, size_t index) {
  const uint8_t* old = s.pages[index];
  if (old != nullptr && references_[static_cast<size_t>(number_of(old))] == 1) return true;
  uint8_t* page = take();
  if (page == nullptr) return false;
  if (old != nullptr) {
    std::memcpy(page, old, static_cast<size_t>(layout_.page_bytes()));
    give_back(old);
  }
  s.pages[index] = page;
  return true;
}

Status KvPages::extend(int sequence, int begin, int end) {
  assert(begin >= 0 && begin < end);
  Sequence& s = sequences_[static_cast<size_t>(sequence)];
  const auto pages = static_cast<size_t>(page_end(end));
  if (s.pages.size() < pages) {
    s.pages.resize(pages);
    s.slots.resize(pages);
  }
  for (int i = first_page(begin); i < page_end(end); ++i) {
    const auto index = static_cast<size_t>(i);
    if (own(s, index)) continue;
    for (int j = first_page(begin); j < i; ++j) {  // give back what holds nothing of hers
      const auto taken = static_cast<size_t>(j);
      if (s.slots[taken] == 0) give_back(std::exchange(s.pages[taken], nullptr));
    }
    return fail(ErrorCode::overloaded, "no KV page is free");
  }
  for (int i = first_page(begin); i < page_end(end); ++i) s.slots[static_cast<size_t>(i)] |= slots_in(i, begin, end);
  return {};
}

bool KvPages::holds(int sequence, int begin, int end) const {
  const Sequence& s = sequences_[static_cast<size_t>(sequence)];
  if (static_cast<size_t>(page_end(end)) > s.slots.size() && begin < end) return false;
  for (int i = first_page(begin); i < page_end(end); ++i) {
    const uint16_t wanted = slots_in(i, begin, end);
    if ((s.slots[static_cast<size_t>(i)] & wanted) != wanted) return false;
  }
  return true;
}

uint8_t* KvPages::writable(int sequence, int position) {
  const uint8_t* page = sequences_[static_cast<size_t>(sequence)].pages[static_cast<size_t>(position / kPageTokens)];
  assert(references_[static_cast<size_t>(number_of(page))] == 1);
  return memory_ + (page - memory_);
}

void KvPages::share(int from, int to, int begin, int end) {
  assert(from != to && begin >= 0 && holds(from, begin, end));
  const Sequence& source = sequences_[static_cast<size_t>(from)];
  Sequence& s = sequences_[static_cast<size_t>(to)];
  const auto pages = static_cast<size_t>(page_end(end));
  if (s.pages.size() < pages) {
    s.pages.resize(pages);
    s.slots.resize(pages);
  }
  for (int i = first_page(begin); i < page_end(end); ++i) {
    const auto index = static_cast<size_t>(i);
    const uint16_t slots = slots_in(i, begin, end);
    assert((s.slots[index] & slots) == 0);
    const uint8_t* page = source.pages[index];
    if (s.pages[index] == nullptr) {
      s.pages[index] = page;
      ++references_[static_cast<size_t>(number_of(page))];
    } else if (s.pages[index] != page) {
      if (!own(s, index)) return;  // the capacity covers every rounding, but RLIMIT_DATA may not
      copy_slots(page, memory_ + (s.pages[index] - memory_), slots);
    }
    s.slots[index] |= slots;
  }
}

void KvPages::drop(int sequence, int begin, int end) {
  Sequence& s = sequences_[static_cast<size_t>(sequence)];
  end = std::min(end, static_cast<int>(s.pages.size()) * kPageTokens);
  for (int i = first_page(begin); i < page_end(end); ++i) {
    const auto index = static_cast<size_t>(i);
    s.slots[index] &= static_cast<uint16_t>(~slots_in(i, begin, end));
    if (s.slots[index] == 0 && s.pages[index] != nullptr) give_back(std::exchange(s.pages[index], nullptr));
  }
  while (!s.pages.empty() && s.pages.back() == nullptr) {
    s.pages.pop_back();
    s.slots.pop_back();
  }
}

std::string KvPages::save(int sequence, int begin, int end, uint64_t model_hash) const {
  assert(begin < end && holds(sequence, begin, end));
  const Sequence& s = sequences_[static_cast<size_t>(sequence)];
  const auto page_bytes = static_cast<size_t>(layout_.page_bytes());
  SavedHeader header = header_for(layout_, begin, end, model_hash);
  std::string out;
  out.reserve(sizeof header + page_bytes * static_cast<size_t>(page_end(end) - first_page(begin)));
  out.append(sizeof header, '\0');
  for (int i = first_page(begin); i < page_end(end); ++i) {
    const size_t at = out.size();
    out.append(reinterpret_cast<const char*>(s.pages[static_cast<size_t>(i)]), page_bytes);
    const uint16_t slots = slots_in(i, begin, end);
    if (slots != kWholePage) clear_slots(reinterpret_cast<uint8_t*>(out.data() + at), static_cast<uint16_t>(~slots));
  }
  header.checksum = XXH3_64bits(out.data() + sizeof header, out.size() - sizeof header);
  std::memcpy(out.data(), &header, sizeof header);
  return out;
}

Status KvPages::load(int sequence, int begin, int end, uint64_t model_hash, std::string_view bytes) {
  assert(begin >= 0 && begin < end);
  const auto page_bytes = static_cast<size_t>(layout_.page_bytes());
  const int pages = page_end(end) - first_page(begin);
  SavedHeader found{}, wanted = header_for(layout_, begin, end, model_hash);
  if (bytes.size() != sizeof found + page_bytes * static_cast<size_t>(pages)) {
    return fail(ErrorCode::corrupt, "saved KV pages have the wrong size");
  }
  std::memcpy(&found, bytes.data(), sizeof found);
  wanted.checksum = found.checksum;
  if (std::memcmp(&found, &wanted, sizeof found) != 0) {
    return fail(ErrorCode::corrupt, "saved KV pages are of another model, layout, version or range");
  }
  const std::string_view body = bytes.substr(sizeof found);
  if (XXH3_64bits(body.data(), body.size()) != found.checksum) {
    return fail(ErrorCode::corrupt, "saved KV pages fail their checksum");
  }
  SKEP_CHECK(extend(sequence, begin, end));
  for (int i = 0; i < pages; ++i) {
    const int page = first_page(begin) + i;
    const auto* from = reinterpret_cast<const uint8_t*>(body.data()) + page_bytes * static_cast<size_t>(i);
    copy_slots(from, writable(sequence, page * kPageTokens), slots_in(page, begin, end));
  }
  return {};
}

Bytes KvPages::bytes_in_use() const { return Bytes(used_ * stride_); }
Bytes KvPages::bytes_touched() const { return Bytes(touched_ * stride_); }

}  // namespace skep::engine::native
