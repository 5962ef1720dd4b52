#pragma once
// Content-defined chunks: cut where the content says so, so that an insertion moves the cuts with it and what is the
// same in two files falls into the same chunks. FastCDC (Xia et al. 2016): a gear hash rolled over the bytes, a cut
// where its upper bits are zero, a stricter mask before the wanted size and a laxer one after it.

#include <cstddef>
#include <cstdint>
#include <span>

namespace skep::model_tools {

struct ChunkSizes {
  size_t least = 16 << 10, average = 64 << 10, most = 256 << 10;  // bytes; average a power of two
};

// The length of the first chunk of `bytes`. `bytes` holds at least `most` bytes or all that is left.
size_t first_chunk(std::span<const uint8_t> bytes, const ChunkSizes& sizes = {});

}  // namespace skep::model_tools
