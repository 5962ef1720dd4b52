#include "model/gpu_memory.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

namespace skep::model {

namespace fs = std::filesystem;

namespace {

constexpr int kMostCards = 64;

std::optional<Bytes> read_bytes(const fs::path& path) {
  std::ifstream file(path);
  int64_t value = 0;
  if (!(file >> value) || value < 0) return std::nullopt;
  return Bytes(value);
}

// The part of NVML's C interface that is used here, as nvml.h (which is not everywhere) has it. 0 is success.
struct Nvml {
  using Device = struct nvmlDevice_st*;
  struct Memory {
    unsigned long long total, free, used;
  };
  int (*init)();
  int (*shutdown)();
  int (*count)(unsigned*);
  int (*handle)(unsigned, Device*);
  int (*name)(Device, char*, unsigned);
  int (*memory)(Device, Memory*);
  const char* (*error)(int);
};

template <typename F>
bool find(void* library, const char* name, F*& function) {
  function = reinterpret_cast<F*>(dlsym(library, name));
  return function != nullptr;
}

Result<std::vector<GpuMemory>> ask(const Nvml& nvml, const std::string& library) {
  const auto failed = [&](int code, const char* what) {
    return fail(ErrorCode::unavailable, fmt::format("{}: {}: {}", library, what, nvml.error(code)),
                "set memory.gpu_budget, or load with gpu_layers: 0");
  };
  if (int code = nvml.init(); code != 0) return failed(code, "the driver does not answer");
  const std::unique_ptr<const Nvml, void (*)(const Nvml*)> ends(&nvml, [](const Nvml* n) { n->shutdown(); });
  unsigned count = 0;
  if (int code = nvml.count(&count); code != 0) return failed(code, "the GPUs can't be counted");
  std::vector<GpuMemory> gpus;
  for (unsigned i = 0; i < std::min<unsigned>(count, kMostCards); ++i) {
    Nvml::Device device = nullptr;
    Nvml::Memory memory{};
    std::array<char, 96> name{};
    if (int code = nvml.handle(i, &device); code != 0) return failed(code, "a GPU can't be opened");
    if (int code = nvml.memory(device, &memory); code != 0) return failed(code, "a GPU's memory can't be read");
    if (nvml.name(device, name.data(), name.size() - 1) != 0) name = {"NVIDIA"};
    gpus.push_back({name.data(), Bytes(static_cast<int64_t>(memory.total)), Bytes(static_cast<int64_t>(memory.free))});
  }
  return gpus;
}

}  // namespace

std::vector<GpuMemory> read_amd_memory(const std::string& root) {
  std::vector<GpuMemory> gpus;
  for (int card = 0; card < kMostCards; ++card) {
    const fs::path device = fmt::format("{}/sys/class/drm/card{}/device", root, card);
    const auto total = read_bytes(device / "mem_info_vram_total");
    if (!total) continue;
    const Bytes used = std::min(*total, read_bytes(device / "mem_info_vram_used").value_or(Bytes(0)));
    gpus.push_back({fmt::format("AMD card{}", card), *total, *total - used});
  }
  return gpus;
}

Result<std::vector<GpuMemory>> read_nvidia_memory(const std::string& library) {
  const std::unique_ptr<void, int (*)(void*)> opened(dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL), dlclose);
  if (!opened) return std::vector<GpuMemory>{};
  Nvml nvml{};
  void* from = opened.get();
  if (!find(from, "nvmlInit_v2", nvml.init) || !find(from, "nvmlShutdown", nvml.shutdown) ||
      !find(from, "nvmlDeviceGetCount_v2", nvml.count) || !find(from, "nvmlDeviceGetHandleByIndex_v2", nvml.handle) ||
      !find(from, "nvmlDeviceGetName", nvml.name) || !find(from, "nvmlDeviceGetMemoryInfo", nvml.memory) ||
      !find(from, "nvmlErrorString", nvml.error)) {
    return fail(ErrorCode::unsupported, library + ": it lacks functions that every NVML since 2012 has",
                "set memory.gpu_budget, or load with gpu_layers: 0");
  }
  return ask(nvml, library);
}

std::vector<GpuMemory> read_gpu_memory(std::vector<std::string>& problems) {
  std::vector<GpuMemory> gpus;
  if (auto nvidia = read_nvidia_memory()) {
    gpus = std::move(*nvidia);
  } else {
    problems.push_back(nvidia.error().text());
  }
  for (GpuMemory& amd : read_amd_memory()) gpus.push_back(std::move(amd));
  return gpus;
}

}  // namespace skep::model
