#include "engine/weight_pager.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace skep::engine {
namespace {

// Between two looks. At 10 GB/s from the page cache, 20 MB are mapped meanwhile; while nothing is generated, nothing is
// mapped, and the looks become rarer: so much may be overrun once, when it begins again.
constexpr auto kSoonest = std::chrono::milliseconds(2), kLatest = std::chrono::milliseconds(10);
constexpr double kKeptShare = 0.7;  // of the limit

size_t page_size() { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }

// Pages of files that are mapped and resident, in the whole process: cheap, unlike asking for each mapping.
int64_t file_pages() {
  long size = 0, resident = 0, shared = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  const int read = std::fscanf(file, "%ld %ld %ld", &size, &resident, &shared);
  std::fclose(file);
  return read == 3 ? shared : 0;
}

struct Mapping {
  char* begin;
  size_t size;
};

// In the order of `files`, then of addresses.
std::vector<Mapping> mappings_of(const std::vector<std::string>& files) {
  std::vector<Mapping> found;
  for (const std::string& file : files) {
    std::error_code error;
    const std::string path = std::filesystem::canonical(file, error).string();
    std::ifstream maps("/proc/self/maps");
    for (std::string line; !error && std::getline(maps, line);) {
      unsigned long begin = 0, end = 0;
      if (!line.ends_with(" " + path) || std::sscanf(line.c_str(), "%lx-%lx", &begin, &end) != 2) continue;
      found.push_back({reinterpret_cast<char*>(begin), end - begin});
    }
  }
  return found;
}

}  // namespace

Result<std::unique_ptr<WeightPager>> WeightPager::create(const std::vector<std::string>& files, Bytes limit) {
  std::vector<Range> ranges;
  for (const Mapping& mapping : mappings_of(files)) ranges.push_back({mapping.begin, mapping.size});
  if (ranges.empty()) {
    return fail(ErrorCode::unavailable,
                "the weights are not mapped from a file, so they can't be read as they are needed",
                "is the model's folder writable?");
  }
  return std::unique_ptr<WeightPager>(new WeightPager(std::move(ranges), limit));
}

WeightPager::WeightPager(std::vector<Range> ranges, Bytes limit) : ranges_(std::move(ranges)), limit_(limit) {
  for (const Range& range : ranges_) ::madvise(range.begin, range.size, MADV_DONTNEED);
  other_pages_ = file_pages();
  keep_the_first();
}

void WeightPager::keep_the_first() {
  auto left = static_cast<size_t>(kKeptShare * static_cast<double>(limit_.count)) / page_size() * page_size();
  locked_ = left > 0;
  for (const Range& range : ranges_) {
    const size_t kept = std::min(left, range.size);
    // Locked as they are touched, not read now: the first token comes before all of them have been.
    if (kept > 0) locked_ = ::mlock2(range.begin, kept, MLOCK_ONFAULT) == 0 && locked_;
    if (kept < range.size) passing_.push_back({range.begin + kept, range.size - kept});
    kept_ += Bytes(static_cast<int64_t>(kept));
    left -= kept;
  }
}

WeightPager::~WeightPager() {
  ends_ = true;
  if (thread_.joinable()) thread_.join();
}

void WeightPager::run() {
  thread_ = std::thread([this] {
    auto pause = kSoonest;
    for (Bytes before = resident(); !ends_;) {
      trim();
      const Bytes now = resident();
      pause = now == before ? std::min(pause + kSoonest, kLatest) : kSoonest;
      before = now;
      std::this_thread::sleep_for(pause);
    }
  });
}

bool WeightPager::trim() {
  if (resident() <= limit_) return false;
  for (const Range& range : passing_) ::madvise(range.begin, range.size, MADV_DONTNEED);
  return true;
}

Bytes WeightPager::mapped() const {
  Bytes sum;
  for (const Range& range : ranges_) sum += Bytes(static_cast<int64_t>(range.size));
  return sum;
}

Bytes WeightPager::resident() const {
  return Bytes(std::max<int64_t>(0, file_pages() - other_pages_) * static_cast<int64_t>(page_size()));
}

}  // namespace skep::engine
