#pragma once
// The GPUs of this machine and the memory of each: the budget of their books when the configuration names none.
// Blocking (a driver's library may take half a second to start); for the daemon's start.

#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace skep::model {

struct GpuMemory {
  std::string name;  // "NVIDIA GeForce RTX 4090", "AMD card0"
  Bytes total, free;
};

// AMD: what the kernel says under `root`/sys/class/drm.
std::vector<GpuMemory> read_amd_memory(const std::string& root = "");

// NVIDIA: what the driver's NVML says, a library that is there or isn't (libnvidia-ml.so.1). None without it. `library`
// is loaded with dlopen(); an Error when it is there and fails, so that nobody takes a broken driver for no GPU.
Result<std::vector<GpuMemory>> read_nvidia_memory(const std::string& library = "libnvidia-ml.so.1");

// Both, NVIDIA's first; what fails is left out and named in `problems`.
std::vector<GpuMemory> read_gpu_memory(std::vector<std::string>& problems);

// What we may use of one: a tenth of what is free stays, for what its other users ask for meanwhile.
inline Bytes default_gpu_budget(const GpuMemory& gpu) { return Bytes(gpu.free.count / 10 * 9); }

}  // namespace skep::model
