#include "engine/streaming.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "engine/worker_environment.h"

namespace skep::engine {
namespace {

constexpr double kLeastShare = 0.1;    // of the weights: below it, a token takes the reading of nearly all of them
constexpr double kKeptShare = 0.7;     // of what is resident: WeightPager's
constexpr double kBudgetShare = 0.75;  // that a streamed model takes, if it can
constexpr size_t kPiece = 1 << 20;
constexpr int64_t kPieces = 48;
constexpr auto kLongest = std::chrono::milliseconds(800);

}  // namespace

double Streaming::tokens_per_second() const {
  const double read = static_cast<double>(weights.count) - kKeptShare * static_cast<double>(resident.count);
  return disk_bytes_per_second <= 0 || read <= 0 ? 0 : disk_bytes_per_second / read;
}

StreamedWeights Streaming::report() const { return {weights, resident, disk_bytes_per_second, tokens_per_second()}; }

std::optional<Bytes> host_budget() {
  const char* text = std::getenv(kHostBudgetVariable);
  const int64_t bytes = text == nullptr ? 0 : std::strtoll(text, nullptr, 10);
  return bytes > 0 ? std::optional(Bytes(bytes)) : std::nullopt;
}

std::optional<Streaming> plan_streaming(const MemoryUse& need, Bytes budget) {
  if (need.weights + need.compute <= budget) return std::nullopt;
  const Bytes others = need.kv + need.compute;
  const Bytes least(static_cast<int64_t>(kLeastShare * static_cast<double>(need.weights.count)));
  const Bytes most = budget - others;
  if (most < least) return std::nullopt;
  const Bytes wanted = Bytes(static_cast<int64_t>(kBudgetShare * static_cast<double>(budget.count))) - others;
  return Streaming{need.weights, std::clamp(wanted, least, most), 0};
}

Result<double> measure_read_rate(const std::string& path) {
  // O_DIRECT passes the page cache by; where a file system has none, what is cached is dropped first.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  const bool direct = fd >= 0;
  if (!direct) fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(ErrorCode::io, fmt::format("{}: {}", path, std::strerror(errno)));
  const std::unique_ptr<int, void (*)(int*)> closes(&fd, [](int* open) { ::close(*open); });
  const int64_t pieces = ::lseek(fd, 0, SEEK_END) / static_cast<int64_t>(kPiece);
  if (pieces < 1) return fail(ErrorCode::invalid_argument, path + ": too small to measure");
  const std::unique_ptr<void, void (*)(void*)> buffer(std::aligned_alloc(4096, kPiece), std::free);
  const int64_t samples = std::min(pieces, kPieces);
  const auto began = std::chrono::steady_clock::now();
  int64_t read = 0;
  for (int64_t i = 0; i < samples && std::chrono::steady_clock::now() - began < kLongest; ++i) {
    const auto offset = static_cast<off_t>(i * pieces / samples * static_cast<int64_t>(kPiece));
    if (!direct) ::posix_fadvise(fd, offset, kPiece, POSIX_FADV_DONTNEED);
    const ssize_t n = ::pread(fd, buffer.get(), kPiece, offset);
    if (n <= 0) return fail(ErrorCode::io, fmt::format("{}: {}", path, std::strerror(errno)));
    read += n;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return static_cast<double>(read) / std::max(seconds, 1e-6);
}

}  // namespace skep::engine
