#include "model_tools/quantize_error.h"

#include <ggml.h>

#include <algorithm>
#include <array>

namespace skep::model_tools {
namespace {

constexpr int64_t kSampledRows = 32;

// K types need rows of whole blocks of 256; the others are what libllama falls back to.
constexpr std::array kWide{GGML_TYPE_Q2_K, GGML_TYPE_Q3_K, GGML_TYPE_Q4_K,
                           GGML_TYPE_Q5_K, GGML_TYPE_Q6_K, GGML_TYPE_Q8_0};
constexpr std::array kNarrow{GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q8_0};

std::vector<ggml_type> types_for(int64_t columns) {
  std::vector<ggml_type> types;
  if (columns % 256 == 0) {
    types.assign(kWide.begin(), kWide.end());
  } else if (columns % 32 == 0) {
    types.assign(kNarrow.begin(), kNarrow.end());
  }
  types.push_back(GGML_TYPE_F16);
  return types;
}

}  // namespace

Result<std::vector<TypeChoice>> measure_choices(const GgufInput& input, const model::GgufTensor& tensor,
                                                const std::vector<float>* importance) {
  const int64_t columns = tensor.extent[0];
  const int64_t rows = tensor.elements() / columns;
  const int64_t sampled = std::min(rows, kSampledRows);
  std::vector<float> values(static_cast<size_t>(sampled * columns)), back(values.size());
  for (int64_t i = 0; i < sampled; ++i) {  // spread over the tensor
    SKEP_CHECK(input.read_rows(tensor, i * rows / sampled, 1, values.data() + i * columns));
  }
  std::vector<float> weights(static_cast<size_t>(columns), 1.0F);
  if (importance != nullptr && importance->size() == weights.size()) weights = *importance;
  const auto energy = [&](const std::vector<float>& v, const float* minus) {
    double sum = 0;
    for (size_t i = 0; i < v.size(); ++i) {
      const double d = v[i] - (minus == nullptr ? 0.0F : minus[i]);
      sum += static_cast<double>(weights[i % weights.size()]) * d * d;
    }
    return sum;
  };
  const double whole = std::max(energy(values, nullptr), 1e-30);
  std::vector<TypeChoice> choices;
  for (const ggml_type type : types_for(columns)) {
    const size_t row = ggml_row_size(type, columns);
    std::vector<char> stored(row * static_cast<size_t>(sampled));
    ggml_quantize_chunk(type, values.data(), stored.data(), 0, sampled, columns,
                        importance == nullptr ? nullptr : weights.data());
    ggml_get_type_traits(type)->to_float(stored.data(), back.data(), sampled * columns);
    choices.push_back(
        {static_cast<uint32_t>(type), Bytes(static_cast<int64_t>(row) * rows), energy(values, back.data()) / whole});
  }
  return choices;
}

}  // namespace skep::model_tools
