#include "kernel/lm/kernels.h"

#include <array>
#include <cstdlib>
#include <cstring>

#include "kernel/lm/targets.h"
#if defined(SKEP_KERNELS_X86)
#include <cpuid.h>
#endif
#if defined(SKEP_KERNELS_ARM)
#include <sys/auxv.h>
#endif

namespace skep::kernel::lm {
namespace {

struct Available {
  std::array<const Kernels*, 6> tables{};
  size_t count = 0;
  void add(const Kernels& k) { tables[count++] = &k; }
};

#if defined(SKEP_KERNELS_X86)
// The compiler's __builtin_cpu_supports does not know it yet: leaf 7, subleaf 1, EAX bit 4.
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4U & 1U) != 0;
}
#endif

Available detect() {
  Available a;
#if defined(SKEP_KERNELS_X86)
  __builtin_cpu_init();
  const auto all = [](auto... supported) { return (... && (supported != 0)); };
  if (all(__builtin_cpu_supports("avx512f"), __builtin_cpu_supports("avx512bw"), __builtin_cpu_supports("avx512dq"),
          __builtin_cpu_supports("avx512vl"), __builtin_cpu_supports("avx512vnni"))) {
    a.add(avx512_vnni_kernels());
  }
  // Every processor with AVX2 has F16C, which clang 14 can't be asked for.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && has_avx_vnni()) a.add(avx_vnni_kernels());
  if (avx2) a.add(avx2_kernels());
#endif
#if defined(SKEP_KERNELS_ARM)
  constexpr unsigned long kDotProduct = 1UL << 20U;     // HWCAP_ASIMDDP
  constexpr unsigned long kMatrixProduct = 1UL << 13U;  // HWCAP2_I8MM
  if ((getauxval(AT_HWCAP) & kDotProduct) != 0) {
    if ((getauxval(AT_HWCAP2) & kMatrixProduct) != 0) a.add(neon_i8mm_kernels());
    a.add(neon_dotprod_kernels());
  }
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
