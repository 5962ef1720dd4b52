// Any text as a model: read or refused, never a crash; what is read is valid and survives writing and reading again.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mind/belief/model.h"

using namespace skep::belief;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  ModelLimits limits;
  limits.entries_per_array = 1 << 16;
  limits.policies = 1 << 10;
  const auto model = data[0] % 2 == 0 ? read_model_json(text, "fuzz", limits) : read_model_yaml(text, "fuzz", limits);
  if (!model) return 0;
  if (!validate(*model, limits)) std::abort();
  const auto again = read_model_json(write_model_json(*model), "again", limits);
  if (again && again->num_states != model->num_states) std::abort();
  return 0;
}
