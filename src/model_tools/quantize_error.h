#pragma once
// What each storage type would do to a tensor: quantizes a sample of its rows and compares. The error is the share of
// the matrix's output energy that is lost, Σ E[x²](w − ŵ)² ⁄ Σ E[x²]w², with E[x²] from the importance matrix (1
// without).

#include <vector>

#include "base/result.h"
#include "model_tools/gguf_writer.h"
#include "model_tools/quantize_mix.h"

namespace skep::model_tools {

// The types that `tensor` could be stored in, with the bytes of the whole tensor and the error of each. `importance`
// may be null; else one value per column.
Result<std::vector<TypeChoice>> measure_choices(const GgufInput& input, const model::GgufTensor& tensor,
                                                const std::vector<float>* importance);

}  // namespace skep::model_tools
