#include "tuned_variant.h"

#include <ggml.h>

#include <charconv>

#include "base/random.h"
#include "model_tools/gguf_writer.h"

namespace skep::bench {
namespace {

bool tuned(const model::GgufTensor& t, const Tuning& tuning, int64_t layers) {
  if (t.dimensions < 2) return false;
  if (tuning.last_layers == 0) return true;
  int64_t layer = -1;
  if (t.name.starts_with("blk.")) std::from_chars(t.name.data() + 4, t.name.data() + t.name.size(), layer);
  return layer >= layers - tuning.last_layers;
}

}  // namespace

Status write_tuned(const std::string& model, const std::string& output, const Tuning& tuning) {
  using namespace model_tools;
  SKEP_TRY(const auto input, GgufInput::open(model));
  const int64_t layers = input->number("block_count");
  std::vector<OutputTensor> tensors;
  Random random(1);
  for (const auto& t : input->file().tensors) {
    OutputTensor out = copy_of(*input, t);
    if (tuned(t, tuning, layers)) {
      out.rows = [&](int64_t first, int64_t count, char* bytes) -> Status {
        const int64_t columns = t.extent[0];
        std::vector<float> values(static_cast<size_t>(count * columns));
        SKEP_CHECK(input->read_rows(t, first, count, values.data()));
        for (float& v : values) {  // the sum of four is normal enough, and quick
          const double sum = random.uniform() + random.uniform() + random.uniform() + random.uniform() - 2;
          v *= static_cast<float>(1 + tuning.relative * 1.732 * sum);
        }
        ggml_quantize_chunk(static_cast<ggml_type>(t.type), values.data(), bytes, 0, count, columns, nullptr);
        return {};
      };
    }
    tensors.push_back(std::move(out));
  }
  SKEP_TRY(const Metadata metadata, metadata_of(*input));
  return write_gguf(output, metadata.get(), tensors, true, "", {});
}

}  // namespace skep::bench
