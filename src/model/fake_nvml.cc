// A library with NVML's interface and two GPUs in it, for gpu_memory_test.cc. SKEP_FAKE_NVML=broken: the driver fails.

#include <cstdlib>
#include <cstring>

namespace {

struct Memory {
  unsigned long long total, free, used;
};
int started = 0;  // nvmlInit() less nvmlShutdown()

}  // namespace

extern "C" {

int nvmlInit_v2() {
  const char* mode = std::getenv("SKEP_FAKE_NVML");
  if (mode != nullptr && std::strcmp(mode, "broken") == 0) return 9;
  ++started;
  return 0;
}
int nvmlShutdown() { return --started >= 0 ? 0 : 1; }
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 2;
  return started == 1 ? 0 : 1;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  static char devices[2];
  *device = &devices[index];
  devices[index] = static_cast<char>(index);
  return 0;
}
int nvmlDeviceGetName(void* device, char* name, unsigned length) {
  std::strncpy(name, *static_cast<char*>(device) == 0 ? "Fake One" : "Fake Two", length);
  return 0;
}
int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  const unsigned long long gib = 1ULL << 30;
  *memory = *static_cast<char*>(device) == 0 ? Memory{8 * gib, 6 * gib, 2 * gib} : Memory{24 * gib, 24 * gib, 0};
  return 0;
}
const char* nvmlErrorString(int code) { return code == 9 ? "Driver Not Loaded" : "Unknown Error"; }
}
