#pragma once
// Which parts of a growing range of bytes are taken: blocks of 32, 64, 128 … bytes and of one largest size. Bookkeeping
// only, in memory: what is free follows from what is taken (restore()), so a file needs no list of it that a crash
// could tear. take() and release() are O(1), but for a block cut from a larger one. A free block is never joined with
// its neighbours again; a range that is restored is. Internal to mind/belief. Thread: one at a time.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace skep::belief {

class BlockHeap {
 public:
  struct Block {
    uint64_t at;
    size_t bytes;  // of content
  };

  // `largest`: bytes of the largest block, a multiple of 32.
  explicit BlockHeap(size_t largest);

  // What a block for so much content takes; 1 to `largest`.
  [[nodiscard]] size_t block_bytes(size_t content) const { return sizes_[size_of(content)]; }
  // Where there is room for it; nothing if the range must be extended first.
  std::optional<uint64_t> take(size_t content);
  void release(uint64_t at, size_t content);
  void extend(size_t bytes) { bytes_ += bytes; }
  // Exactly these are taken from now on. False if they overlap, lie outside, or don't stand where blocks may.
  [[nodiscard]] bool restore(std::vector<Block> taken);

  [[nodiscard]] size_t bytes() const { return bytes_; }  // of the range

 private:
  [[nodiscard]] size_t size_of(size_t content) const;  // index into sizes_
  void cut(uint64_t at, size_t bytes);                 // free blocks of a free piece

  std::vector<size_t> sizes_;                // ascending
  std::vector<std::vector<uint64_t>> free_;  // by size
  size_t end_ = 0;                           // from here on nothing was ever taken
  size_t bytes_ = 0;
};

}  // namespace skep::belief
