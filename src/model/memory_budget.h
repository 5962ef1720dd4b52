#pragma once
// How much memory this machine, or the cgroup that we are in, leaves us: the budget when the configuration names none.

#include <optional>
#include <string>

#include "base/result.h"
#include "base/units.h"

namespace skep::model {

struct MachineMemory {
  Bytes total;      // MemTotal
  Bytes available;  // MemAvailable: what can be had without swapping
  // The tightest limit of our cgroup and those above it (v2 memory.max, v1 memory.limit_in_bytes), and what is used
  // under it less the page cache that gives way (inactive_file). Unset: no limit.
  std::optional<Bytes> group_limit;
  Bytes group_used;
};

// `root` is prepended to /proc and /sys; tests give a folder.
Result<MachineMemory> read_machine_memory(const std::string& root = "");

// What we may use: the smaller of what is available and what the cgroup has left, less a share that stays for the rest
// of the machine (a tenth of it, at most 2 GiB). Never negative.
Bytes default_budget(const MachineMemory& memory);

// CPU and GPU share one memory here: an Nvidia Tegra (Jetson).
bool memory_is_unified(const std::string& root = "");

}  // namespace skep::model
