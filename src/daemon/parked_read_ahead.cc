#include "daemon/parked_read_ahead.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "model/memory_budget.h"

namespace skep::daemon {
namespace {

namespace fs = std::filesystem;

constexpr Bytes kMost = 256_MiB;
constexpr int64_t kShare = 8;

// Parked files are named by the engine; a damaged note must not lead elsewhere.
bool plain(const std::string& name) { return !name.empty() && fs::path(name).filename() == name && name != ".."; }

}  // namespace

ParkedReadAhead::~ParkedReadAhead() {
  *alive_ = false;
  gate_->close();
}

void ParkedReadAhead::woke(const ParkedFiles& parked) {
  for (const auto& [name, cells] : parked) {
    if (!plain(name) || !plain(cells.model_hash)) continue;
    if (waiting_.size() >= kMostWaiting) {
      ++counters_.left_out;
    } else {
      waiting_.push_back({(fs::path(parts_.folder) / cells.model_hash / name).string(), cells.bytes});
    }
  }
  if (!waiting_.empty() && !reading_) pass();
}

void ParkedReadAhead::pass() {
  reading_ = true;
  auto found = std::make_shared<Counters>();
  const auto work = [room = parts_.room, read = parts_.read, found, files = std::exchange(waiting_, {})] {
    Bytes left = std::max(Bytes(0), room());
    for (const File& file : files) {
      if (file.bytes > left) {
        ++found->left_out;
      } else if (read(file.path)) {
        left -= file.bytes;
        ++found->files;
        found->bytes += file.bytes;
      }
    }
  };
  parts_.loop.blocking([gate = gate_, work] { gate->pass(work); },
                       [this, alive = alive_, found] {
                         if (!*alive) return;
                         reading_ = false;
                         counters_.files += found->files;
                         counters_.bytes += found->bytes;
                         counters_.left_out += found->left_out;
                         if (!waiting_.empty()) pass();
                       });
}

Bytes room_to_read_ahead() {
  const auto memory = model::read_machine_memory();
  if (!memory) return Bytes(0);
  Bytes free = memory->available;
  if (memory->group_limit) free = std::min(free, *memory->group_limit - memory->group_used);
  return std::clamp(Bytes(free.count / kShare), Bytes(0), kMost);
}

}  // namespace skep::daemon
