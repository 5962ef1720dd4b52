#include "model_tools/adapter.h"

#include <ggml.h>
#include <gguf.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>

#include "model_tools/gguf_writer.h"
#include "model_tools/low_rank.h"

namespace skep::model_tools {
namespace {

constexpr std::string_view kA = ".lora_a", kB = ".lora_b";
constexpr int64_t kChunkValues = 1 << 20;

int64_t rows_of(const model::GgufTensor& t) { return t.elements() / t.extent[0]; }

// Embeddings are looked up, not multiplied: libllama wants their pair the other way round, and few adapters have one.
bool can_have_pair(const model::GgufTensor& t) {
  return t.dimensions == 2 && t.name.ends_with(".weight") && !t.name.starts_with("token_embd") &&
         t.name.find("_norm") == t.name.npos;
}

struct Norms {
  double weights = 0, change = 0;  // squared
  [[nodiscard]] double relative() const { return weights > 0 ? std::sqrt(change / weights) : std::sqrt(change); }
};

// Rows of tuned − base.
Status read_change(const GgufInput& base, const model::GgufTensor& b, const GgufInput& tuned,
                   const model::GgufTensor& t, int64_t first, int64_t count, float* out, Norms* norms) {
  std::vector<float> before(static_cast<size_t>(count * b.extent[0]));
  SKEP_CHECK(base.read_rows(b, first, count, before.data()));
  SKEP_CHECK(tuned.read_rows(t, first, count, out));
  for (size_t i = 0; i < before.size(); ++i) {
    out[i] -= before[i];
    if (norms == nullptr) continue;
    norms->weights += static_cast<double>(before[i]) * before[i];
    norms->change += static_cast<double>(out[i]) * out[i];
  }
  return {};
}

Result<Norms> norms_of(const GgufInput& base, const model::GgufTensor& b, const GgufInput& tuned,
                       const model::GgufTensor& t) {
  Norms norms;
  const int64_t rows = rows_of(b), at_once = std::clamp<int64_t>(kChunkValues / b.extent[0], 1, rows);
  std::vector<float> chunk(static_cast<size_t>(at_once * b.extent[0]));
  for (int64_t first = 0; first < rows; first += at_once) {
    SKEP_CHECK(read_change(base, b, tuned, t, first, std::min(at_once, rows - first), chunk.data(), &norms));
  }
  return norms;
}

OutputTensor in_memory(std::string name, std::vector<int64_t> extent, std::vector<float> values) {
  OutputTensor out;
  out.name = std::move(name);
  out.type = GGML_TYPE_F32;
  out.extent = std::move(extent);
  out.rows = [columns = out.extent[0], values = std::move(values)](int64_t first, int64_t count, char* bytes) {
    std::memcpy(bytes, values.data() + first * columns, static_cast<size_t>(count * columns) * sizeof(float));
    return Status();
  };
  return out;
}

Bytes size_of(const std::string& path) {
  std::error_code ignored;
  return Bytes(static_cast<int64_t>(std::filesystem::file_size(path, ignored)));
}

struct Pair {
  std::vector<float> a, b;  // as LowRank's
  int64_t rank = 0;
};

// The pairs of an adapter, by the matrix's name, checked against the model.
Result<std::map<std::string, Pair>> read_pairs(const GgufInput& adapter, const GgufInput& model) {
  const std::string* kind = adapter.file().text("adapter.type");
  if (kind == nullptr || *kind != "lora") {
    return fail(ErrorCode::invalid_argument, adapter.path() + ": it is no LoRA adapter");
  }
  if (adapter.architecture() != model.architecture()) {
    return fail(ErrorCode::invalid_argument, fmt::format("{}: an adapter for {}, but {} is a {}", adapter.path(),
                                                         adapter.architecture(), model.path(), model.architecture()));
  }
  std::map<std::string, Pair> pairs;
  for (const model::GgufTensor& a : adapter.file().tensors) {
    if (a.name.ends_with(kB)) continue;
    const std::string name = a.name.substr(0, a.name.size() - std::min(a.name.size(), kA.size()));
    const model::GgufTensor *b = adapter.find(name + std::string(kB)), *target = model.find(name);
    if (!a.name.ends_with(kA) || b == nullptr || target == nullptr) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("{}: {} fits no matrix of {}", adapter.path(), a.name, model.path()));
    }
    if (a.extent[0] != target->extent[0] || b->extent[1] != target->extent[1] || a.extent[1] != b->extent[0] ||
        target->dimensions != 2 || !can_have_pair(*target)) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("{}: the pair for {} has another shape than in {}", adapter.path(), name, model.path()));
    }
    Pair pair;
    pair.rank = a.extent[1];
    pair.a.resize(static_cast<size_t>(a.elements()));
    pair.b.resize(static_cast<size_t>(b->elements()));
    SKEP_CHECK(adapter.read_rows(a, 0, a.extent[1], pair.a.data()));
    SKEP_CHECK(adapter.read_rows(*b, 0, b->extent[1], pair.b.data()));
    pairs.emplace(name, std::move(pair));
  }
  return pairs;
}

// The rows of a matrix with its pair added, stored as `type`.
OutputTensor merged(const GgufInput& model, const model::GgufTensor& tensor, const Pair& pair, double strength,
                    uint32_t type) {
  OutputTensor out;
  out.name = tensor.name;
  out.type = type;
  out.extent.assign(tensor.extent.begin(), tensor.extent.begin() + tensor.dimensions);
  out.rows = [&model, &tensor, &pair, strength, type](int64_t first, int64_t count, char* bytes) -> Status {
    const int64_t columns = tensor.extent[0];
    std::vector<float> rows(static_cast<size_t>(count * columns));
    SKEP_CHECK(model.read_rows(tensor, first, count, rows.data()));
    for (int64_t r = 0; r < count; ++r) {
      float* row = rows.data() + r * columns;
      for (int64_t k = 0; k < pair.rank; ++k) {
        const auto factor = static_cast<float>(strength * pair.b[static_cast<size_t>((first + r) * pair.rank + k)]);
        const float* a = pair.a.data() + k * columns;
        for (int64_t c = 0; c < columns; ++c) row[c] += factor * a[c];
      }
    }
    ggml_quantize_chunk(static_cast<ggml_type>(type), rows.data(), bytes, 0, count, columns, nullptr);
    return {};
  };
  return out;
}

}  // namespace

Result<ExtractReport> extract_adapter(const ExtractOptions& options, const ProgressFn& progress) {
  SKEP_TRY(const auto base, GgufInput::open(options.base));
  SKEP_TRY(const auto tuned, GgufInput::open(options.tuned));
  if (base->architecture() != tuned->architecture()) {
    return fail(ErrorCode::invalid_argument, "the models are of different architectures");
  }
  ExtractReport report;
  std::vector<OutputTensor> tensors;
  double changed = 0, kept = 0;
  size_t seen = 0;
  for (const model::GgufTensor& b : base->file().tensors) {
    const model::GgufTensor* t = tuned->find(b.name);
    if (t == nullptr || t->extent != b.extent) {
      return fail(ErrorCode::invalid_argument, fmt::format("{} has another shape in {}", b.name, options.tuned));
    }
    const double fraction = static_cast<double>(seen++) / static_cast<double>(base->file().tensors.size());
    if (!proceed(progress, {"comparing", fraction, b.name})) return fail(ErrorCode::cancelled, "stopped");
    SKEP_TRY(const Norms norms, norms_of(*base, b, *tuned, *t));
    if (norms.relative() <= options.smallest_change) continue;
    if (!can_have_pair(b)) {
      report.left_out.push_back(b.name);
      continue;
    }
    const int64_t rows = rows_of(b), columns = b.extent[0];
    const int rank = static_cast<int>(std::min<int64_t>(options.rank, std::min(rows, columns)));
    SKEP_TRY(LowRank pair, approximate(rows, columns, rank, [&](int64_t first, int64_t count, float* out) {
               return read_change(*base, b, *tuned, *t, first, count, out, nullptr);
             }));
    // One alpha serves all pairs and is divided by each one's rank, which a thin matrix has less of.
    for (float& value : pair.b) value *= static_cast<float>(rank) / static_cast<float>(options.rank);
    changed += norms.change;
    kept += pair.energy * norms.change;
    report.matrices.push_back({b.name, norms.relative(), pair.energy});
    tensors.push_back(in_memory(b.name + std::string(kA), {columns, rank}, std::move(pair.a)));
    tensors.push_back(in_memory(b.name + std::string(kB), {rank, rows}, std::move(pair.b)));
  }
  if (tensors.empty()) {
    return fail(ErrorCode::invalid_argument, "the models differ in no matrix that an adapter can hold");
  }
  report.kept = kept / changed;
  const Metadata metadata = empty_metadata();
  gguf_set_val_str(metadata.get(), "general.type", "adapter");
  gguf_set_val_str(metadata.get(), "general.architecture", base->architecture().c_str());
  gguf_set_val_str(metadata.get(), "adapter.type", "lora");
  gguf_set_val_f32(metadata.get(), "adapter.lora.alpha", static_cast<float>(options.rank));
  SKEP_CHECK(write_gguf(options.output, metadata.get(), tensors, options.overwrite, "writing", progress));
  report.bytes = size_of(options.output);
  return report;
}

Result<MergeReport> merge_adapter(const MergeOptions& options, const ProgressFn& progress) {
  SKEP_TRY(const auto model, GgufInput::open(options.model));
  SKEP_TRY(const auto adapter, GgufInput::open(options.adapter));
  SKEP_TRY(const auto pairs, read_pairs(*adapter, *model));
  if (pairs.empty()) return fail(ErrorCode::invalid_argument, options.adapter + ": there is no pair in it");
  const double alpha = adapter->file().number("adapter.lora.alpha").value_or(0);
  MergeReport report;
  std::vector<OutputTensor> tensors;
  for (const model::GgufTensor& t : model->file().tensors) {
    const auto pair = pairs.find(t.name);
    if (pair == pairs.end()) {
      tensors.push_back(copy_of(*model, t));
      continue;
    }
    const uint32_t type = options.type.value_or(t.type);
    if (t.extent[0] % ggml_blck_size(static_cast<ggml_type>(type)) != 0) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("{} can't be stored as {}", t.name, model::tensor_type_name(type)));
    }
    // libllama's rule: an alpha of 0 means a strength of 1.
    const double strength = alpha == 0 ? options.scale : options.scale * alpha / static_cast<double>(pair->second.rank);
    tensors.push_back(merged(*model, t, pair->second, strength, type));
    ++report.matrices;
    report.rank = std::max(report.rank, static_cast<int>(pair->second.rank));
  }
  SKEP_TRY(const Metadata metadata, metadata_of(*model));
  SKEP_CHECK(write_gguf(options.output, metadata.get(), tensors, options.overwrite, "merging", progress));
  report.bytes = size_of(options.output);
  return report;
}

}  // namespace skep::model_tools
