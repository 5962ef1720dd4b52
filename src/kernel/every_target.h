#pragma once
// For differential tests: what Highway compiled, target by target. Include it from sources that Highway compiles.

#include <hwy/highway.h>

namespace skep::kernel {

// Calls `add` with each target chosen in turn that this program was compiled for and this CPU runs. It chooses anew for
// the whole process meanwhile, so nobody else may ask for kernels then.
template <typename Add>
void with_every_target(Add&& add) {
#if (HWY_TARGETS & (HWY_TARGETS - 1)) == 0  // one target: nothing is chosen at run time
  add();
#else
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::GetChosenTarget().Update(target);
    add();
  }
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
#endif
}

}  // namespace skep::kernel
