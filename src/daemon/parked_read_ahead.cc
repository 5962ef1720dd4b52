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

void ParkedReadAhead::woke(const std::string& agent) {
  if (waiting_.size() >= kMostWaiting) {
    ++counters_.left_out;
    return;
  }
  waiting_.push_back(agent);
  if (!reading_) pass();
}

void ParkedReadAhead::pass() {
  reading_ = true;
  auto found = std::make_shared<Counters>();
  const auto work = [folder = parts_.folder, agents = &parts_.agents, room = parts_.room, read = parts_.read, found,
                     woken = std::exchange(waiting_, {})] {
    int64_t left = -1;  // asked for once there is something to read
    for (const std::string& agent : woken) {
      // Who was forgotten meanwhile has no state, and nothing is noted of it.
      const auto state = agents->load(agent);
      if (!state) continue;
      for (const auto& [name, cells] : state->parked()) {
        if (!plain(name) || !plain(cells.model_hash)) continue;
        if (left < 0) left = std::max<int64_t>(0, room().count);
        if (cells.bytes.count > left) {
          ++found->left_out;
        } else if (read((fs::path(folder) / cells.model_hash / name).string())) {
          left -= cells.bytes.count;
          ++found->files;
          found->bytes = found->bytes + cells.bytes;
        }
      }
    }
  };
  parts_.loop.blocking([gate = gate_, work] { gate->pass(work); },
                       [this, alive = alive_, found] {
                         if (!*alive) return;
                         reading_ = false;
                         counters_.files += found->files;
                         counters_.bytes = counters_.bytes + found->bytes;
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
