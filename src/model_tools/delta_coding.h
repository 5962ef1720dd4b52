#pragma once
// How bytes are written when similar ones are known: the difference to them, arranged so that zstd finds what is small.
//
// A fine-tuned weight is near the old one, so as an integer its difference has few bits: numbers of `stride` bytes are
// subtracted, folded so that small negative ones are small, too (zigzag), and their bytes are sorted by rank, the upper
// ones first, which are mostly zero. Stride 1 is for everything else, quantized blocks for one.

#include <cstdint>
#include <span>
#include <vector>

namespace skep::model_tools {

// `stride` is 1, 2 or 4. `phase`: how far into a number the bytes begin; the rest of that number is kept as plain
// differences of bytes, as is a number that is cut at the end. All spans are of one length.
void subtract(std::span<const uint8_t> now, std::span<const uint8_t> before, int stride, int phase,
              std::span<uint8_t> difference);
void add(std::span<const uint8_t> difference, std::span<const uint8_t> before, int stride, int phase,
         std::span<uint8_t> now);

}  // namespace skep::model_tools
