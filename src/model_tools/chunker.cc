#include "model_tools/chunker.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>

#include "base/random.h"

namespace skep::model_tools {
namespace {

constexpr int kNormalization = 2;  // bits that the masks differ from the average's

constexpr std::array<uint64_t, 256> kGear = [] {
  std::array<uint64_t, 256> gear{};
  for (size_t i = 0; i < gear.size(); ++i) gear[i] = mix_bits(0x736b6570 + i);
  return gear;
}();

constexpr uint64_t upper_bits(int count) { return ~uint64_t{0} << (64 - count); }

}  // namespace

size_t first_chunk(std::span<const uint8_t> bytes, const ChunkSizes& sizes) {
  assert(std::has_single_bit(sizes.average) && sizes.least < sizes.average && sizes.average < sizes.most);
  if (bytes.size() <= sizes.least) return bytes.size();
  const int bits = std::countr_zero(sizes.average);
  const uint64_t strict = upper_bits(bits + kNormalization), lax = upper_bits(bits - kNormalization);
  const size_t end = std::min(bytes.size(), sizes.most), middle = std::min(end, sizes.average);
  uint64_t hash = 0;
  size_t at = sizes.least;  // no cut before: what lies there need not be hashed
  for (; at < middle; ++at) {
    hash = (hash << 1) + kGear[bytes[at]];
    if ((hash & strict) == 0) return at + 1;
  }
  for (; at < end; ++at) {
    hash = (hash << 1) + kGear[bytes[at]];
    if ((hash & lax) == 0) return at + 1;
  }
  return end;
}

}  // namespace skep::model_tools
