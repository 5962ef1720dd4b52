#include "mind/belief/block_heap.h"

#include <algorithm>
#include <cassert>

namespace skep::belief {
namespace {

constexpr size_t kSmallest = 32;

}  // namespace

BlockHeap::BlockHeap(size_t largest) {
  assert(largest > 0 && largest % kSmallest == 0);
  for (size_t size = kSmallest; size < largest; size *= 2) sizes_.push_back(size);
  sizes_.push_back(largest);
  free_.resize(sizes_.size());
}

size_t BlockHeap::size_of(size_t content) const {
  assert(content > 0 && content <= sizes_.back());
  return static_cast<size_t>(std::lower_bound(sizes_.begin(), sizes_.end(), content) - sizes_.begin());
}

// All sizes are multiples of the smallest: nothing of a piece is lost.
void BlockHeap::cut(uint64_t at, size_t bytes) {
  assert(bytes % kSmallest == 0);
  for (size_t size = sizes_.size(); size-- > 0;) {
    for (; bytes >= sizes_[size]; bytes -= sizes_[size], at += sizes_[size]) free_[size].push_back(at);
  }
}

std::optional<uint64_t> BlockHeap::take(size_t content) {
  const size_t wanted = size_of(content);
  for (size_t size = wanted; size < sizes_.size(); ++size) {
    if (free_[size].empty()) continue;
    const uint64_t at = free_[size].back();
    free_[size].pop_back();
    cut(at + sizes_[wanted], sizes_[size] - sizes_[wanted]);
    return at;
  }
  if (sizes_[wanted] > bytes_ - end_) return std::nullopt;
  const uint64_t at = end_;
  end_ += sizes_[wanted];
  return at;
}

void BlockHeap::release(uint64_t at, size_t content) {
  assert(at + block_bytes(content) <= end_);
  free_[size_of(content)].push_back(at);
}

bool BlockHeap::restore(std::vector<Block> taken) {
  std::sort(taken.begin(), taken.end(), [](const Block& a, const Block& b) { return a.at < b.at; });
  for (auto& blocks : free_) blocks.clear();
  end_ = 0;
  for (const Block& block : taken) {
    if (block.bytes == 0 || block.bytes > sizes_.back() || block.at % kSmallest != 0 || block.at < end_) return false;
    const size_t size = block_bytes(block.bytes);
    if (size > bytes_ || block.at > bytes_ - size) return false;
    cut(end_, block.at - end_);
    end_ = block.at + size;
  }
  return true;
}

}  // namespace skep::belief
