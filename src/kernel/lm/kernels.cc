#include "kernel/lm/kernels.h"

#include <array>
#include <cstdlib>
#include <cstring>

#include "kernel/lm/targets.h"
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace skep::kernel::lm {
namespace {

struct Available {
  std::array<const Kernels*, 6> tables{};
  size_t count = 0;
  void add(const Kernels& k) { tables[count++] = &k; }
};

Available detect() {
  Available a;
#if defined(SKEP_KERNELS_X86)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (avx2) a.add(avx2_kernels());
#endif
  a.add(scalar_kernels());
  return a;
}

const Available& available() {
  static const Available found = detect();
  return found;
}

}  // namespace

const char* to_string(KvType type) {
  switch (type) {
    case KvType::f16:
      return "f16";
    case KvType::bf16:
      return "bf16";
    case KvType::q8:
      return "q8_0";
  }
  return "?";
}

std::span<const Kernels* const> available_kernels() { return {available().tables.data(), available().count}; }

const Kernels& best_kernels() {
  if (const char* wanted = std::getenv("SKEP_KERNELS")) {
    for (const Kernels* k : available_kernels()) {
      if (std::strcmp(k->name, wanted) == 0) return *k;
    }
  }
  return *available().tables[0];
}

}  // namespace skep::kernel::lm
