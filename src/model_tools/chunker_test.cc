#include "model_tools/chunker.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "base/random.h"

namespace skep::model_tools {
namespace {

std::vector<uint8_t> noise(size_t size, uint64_t seed) {
  Random random(seed);
  std::vector<uint8_t> bytes(size);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random.next());
  return bytes;
}

std::vector<size_t> cut(const std::vector<uint8_t>& bytes) {
  std::vector<size_t> lengths;
  for (size_t at = 0; at < bytes.size(); at += lengths.back()) {
    lengths.push_back(first_chunk(std::span(bytes).subspan(at)));
  }
  return lengths;
}

TEST(Chunker, ChunksAreOfTheSizesAskedFor) {
  const auto bytes = noise(8 << 20, 1);
  const auto lengths = cut(bytes);
  for (size_t i = 0; i + 1 < lengths.size(); ++i) {
    EXPECT_GE(lengths[i], ChunkSizes{}.least);
    EXPECT_LE(lengths[i], ChunkSizes{}.most);
  }
  const double mean = static_cast<double>(bytes.size()) / static_cast<double>(lengths.size());
  EXPECT_GT(mean, 45'000);
  EXPECT_LT(mean, 100'000);
}

TEST(Chunker, AnInsertionMovesTheCutsWithIt) {
  const auto before = noise(4 << 20, 2);
  auto after = before;
  after.insert(after.begin() + 1'000'003, 17, uint8_t{9});
  std::set<std::string> known;
  size_t at = 0;
  for (const size_t length : cut(before)) {
    known.emplace(before.begin() + static_cast<std::ptrdiff_t>(at),
                  before.begin() + static_cast<std::ptrdiff_t>(at + length));
    at += length;
  }
  size_t fresh = 0;
  at = 0;
  for (const size_t length : cut(after)) {
    const std::string chunk(after.begin() + static_cast<std::ptrdiff_t>(at),
                            after.begin() + static_cast<std::ptrdiff_t>(at + length));
    fresh += known.contains(chunk) ? 0 : length;
    at += length;
  }
  EXPECT_LE(fresh, 2 * ChunkSizes{}.most);
  EXPECT_GT(fresh, 0U);
}

TEST(Chunker, BytesWithoutContentAreCutAtTheMost) {
  const std::vector<uint8_t> zeros(1 << 20);
  for (const size_t length : cut(zeros)) EXPECT_LE(length, ChunkSizes{}.most);
}

TEST(Chunker, WhatIsShorterThanTheLeastIsOneChunk) {
  EXPECT_EQ(first_chunk(noise(100, 3)), 100U);
  EXPECT_EQ(first_chunk({}), 0U);
}

}  // namespace
}  // namespace skep::model_tools
