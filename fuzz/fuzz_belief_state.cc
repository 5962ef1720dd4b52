// A population file with bytes changed anywhere: opened or refused, never a crash, and what opens can be stepped. The
// input patches a good file: pairs of a 3-byte place and a value. The checks of header, model and seal are what is
// under test, so the first byte may ask for them to be skipped by damaging only the agents' own data.

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "mind/belief/model_blob.h"
#include "mind/belief/population.h"
#include "mind/belief/random_model.h"

using namespace skep;
using namespace skep::belief;

namespace {

std::filesystem::path scratch_file() {
  static const auto path = std::filesystem::temp_directory_path() / ("skep-fuzz-" + std::to_string(getpid()));
  return path;
}

std::vector<char> good_file(PopulationOptions options, kernel::ThreadPool& pool) {
  std::filesystem::remove(scratch_file());
  options.capacity = 5;
  options.history = 2;
  options.file = scratch_file();
  {
    auto population = Population::create(random_model({.counts = true}, 1), options, pool).value();
    for (int i = 0; i < 4; ++i) population->add().value();
    (void)population->step(std::vector<uint16_t>(5, 1));
  }
  std::ifstream in(options.file, std::ios::binary);
  return std::vector<char>(std::istreambuf_iterator<char>(in), {});
}

// One with own models that learn, and one with sparse rows.
const std::vector<char>& good_file(bool sparse, kernel::ThreadPool& pool) {
  static const auto learning = good_file({.own_models = true, .learning = true}, pool);
  static const auto with_heap = good_file({.rows = RowStorage::sparse}, pool);
  return sparse ? with_heap : learning;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto pool = kernel::ThreadPool::create(1);
  (void)read_model_blob(std::as_bytes(std::span(data, size)));
  std::vector<char> file = good_file(size % 8 >= 4, *pool);
  for (size_t i = 0; i + 4 <= size; i += 4) {
    // Most of a heap is empty: what is used of it begins within these.
    const size_t reach = std::min(file.size(), size_t{64} << 10);
    const size_t at = (data[i] | data[i + 1] << 8 | data[i + 2] << 16) % reach;
    file[at] = static_cast<char>(data[i + 3]);
  }
  if (size % 4 == 1) file.resize(file.size() / 2);
  std::ofstream(scratch_file(), std::ios::binary).write(file.data(), static_cast<std::streamsize>(file.size()));
  PopulationOptions options;
  options.file = scratch_file();
  auto population = Population::open(options, *pool);
  if (!population) return 0;
  (void)(*population)
      ->step(std::vector<uint16_t>((*population)->capacity() * (*population)->model().num_obs.size(), 0));
  HistoryEntry entry;
  for (uint32_t slot = 0; slot < (*population)->capacity(); ++slot) (void)(*population)->history(slot, 0, entry);
  return 0;
}
