#include "engine/synth/adapter.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <utility>

#include "base/random.h"
#include "base/temporary_file.h"
#include "engine/synth/tensors.h"
#include "gguf.h"

namespace skep::synth {
namespace {

struct Delete {
  void operator()(gguf_context* c) const { gguf_free(c); }
  void operator()(ggml_context* c) const { ggml_free(c); }
};

Status check(const AdapterFile& file) {
  const auto invalid = [](std::string why) { return fail(ErrorCode::invalid_argument, std::move(why)); };
  if (file.path.empty()) return invalid("no path to write to");
  if (file.rank < 1 || file.rank > 4096)
    return invalid(fmt::format("a rank of {} is not between 1 and 4096", file.rank));
  if (file.tensors.empty()) return invalid("an adapter without matrices");
  const auto rank = static_cast<size_t>(file.rank);
  for (const AdapterTensor& t : file.tensors) {
    const bool fits = t.rows > 0 && t.columns > 0 && t.a.size() == rank * static_cast<size_t>(t.columns) &&
                      t.b.size() == rank * static_cast<size_t>(t.rows);
    if (!fits) {
      return invalid(fmt::format("{}: {} and {} values are no pair of rank {} for {} x {}", t.base, t.a.size(),
                                 t.b.size(), file.rank, t.rows, t.columns));
    }
  }
  return {};
}

// "blk.3.attn_q.weight" → "attn_q"; empty for what stands in no layer.
std::string role_of(const std::string& tensor) {
  if (!tensor.starts_with("blk.") || !tensor.ends_with(".weight")) return {};
  const size_t begin = tensor.find('.', 4) + 1;
  return tensor.substr(begin, tensor.size() - std::string_view(".weight").size() - begin);
}

}  // namespace

Status write_adapter(const AdapterFile& file) {
  SKEP_CHECK(check(file));
  std::error_code ignored;
  if (!file.overwrite && std::filesystem::exists(file.path, ignored)) {
    return fail(ErrorCode::conflict, file.path + " exists already");
  }
  const std::unique_ptr<gguf_context, Delete> gguf(gguf_init_empty());
  gguf_set_val_str(gguf.get(), "general.type", "adapter");
  gguf_set_val_str(gguf.get(), "general.architecture", file.architecture.c_str());
  gguf_set_val_str(gguf.get(), "general.name", file.name.c_str());
  gguf_set_val_str(gguf.get(), "adapter.type", "lora");
  gguf_set_val_f32(gguf.get(), "adapter.lora.alpha", file.alpha);

  const size_t headers = ggml_tensor_overhead() * (2 * file.tensors.size() + 1);
  const std::unique_ptr<ggml_context, Delete> context(
      ggml_init({.mem_size = headers, .mem_buffer = nullptr, .no_alloc = true}));
  std::vector<const std::vector<float>*> values;
  const auto add = [&](const std::string& name, int64_t columns, int64_t rows, const std::vector<float>& data) {
    ggml_tensor* tensor = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, columns, rows);
    ggml_set_name(tensor, name.c_str());
    gguf_add_tensor(gguf.get(), tensor);
    values.push_back(&data);
  };
  for (const AdapterTensor& t : file.tensors) {
    add(t.base + ".lora_a", t.columns, file.rank, t.a);
    add(t.base + ".lora_b", file.rank, t.rows, t.b);
  }
  std::vector<char> metadata(gguf_get_meta_size(gguf.get()));
  gguf_get_meta_data(gguf.get(), metadata.data());

  SKEP_TRY(const std::unique_ptr<TemporaryFile> out, TemporaryFile::create(file.path));
  SKEP_CHECK(out->write(metadata.data(), metadata.size(), 0));
  const auto alignment = static_cast<int64_t>(gguf_get_alignment(gguf.get()));
  auto end = static_cast<int64_t>(metadata.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const auto offset =
        static_cast<int64_t>(metadata.size() + gguf_get_tensor_offset(gguf.get(), static_cast<int64_t>(i)));
    const size_t size = values[i]->size() * sizeof(float);
    SKEP_CHECK(out->write(values[i]->data(), size, offset));
    end = offset + static_cast<int64_t>(size);
  }
  // libggml expects the last one padded, too.
  if (const int64_t padding = (alignment - end % alignment) % alignment; padding > 0) {
    SKEP_CHECK(out->write("", 1, end + padding - 1));
  }
  return out->publish(file.overwrite);
}

Status synthesize_adapter(const AdapterOptions& options) {
  SKEP_CHECK(check(options.shape));
  AdapterFile file;
  file.path = options.path;
  file.name = options.name.empty() ? options.shape.name + " adapter" : options.name;
  file.architecture = to_string(options.shape.architecture);
  file.rank = options.rank;
  file.alpha = options.alpha;
  file.overwrite = options.overwrite;
  const auto wanted = [&](const std::string& role) {
    return !role.empty() &&
           (options.targets.empty() || std::ranges::find(options.targets, role) != options.targets.end());
  };
  uint64_t index = 0;
  for (const Tensor& t : tensors_of(options.shape, WeightType::f32)) {
    if (t.vector || !wanted(role_of(t.name))) continue;
    AdapterTensor pair{t.name, t.rows, t.columns, {}, {}};
    Random random(mix_bits(options.seed ^ (++index << 32U)));
    // A x of a unit input has deviation 1 each; B sums `rank` of them, times alpha / rank.
    const double a = 1 / std::sqrt(static_cast<double>(t.columns));
    const double b = options.strength * std::sqrt(static_cast<double>(options.rank)) / options.alpha;
    pair.a.resize(static_cast<size_t>(options.rank) * static_cast<size_t>(t.columns));
    pair.b.resize(static_cast<size_t>(options.rank) * static_cast<size_t>(t.rows));
    for (float& value : pair.a) value = static_cast<float>(a * random.normal());
    for (float& value : pair.b) value = static_cast<float>(b * random.normal());
    file.tensors.push_back(std::move(pair));
  }
  if (file.tensors.empty()) return fail(ErrorCode::invalid_argument, "the shape has none of the adapter's targets");
  return write_adapter(file);
}

}  // namespace skep::synth
