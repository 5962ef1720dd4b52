#include "engine/native/weights.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "kernel/lm/pack.h"

namespace skep::engine::native {
namespace {

constexpr uint64_t kMixed = 0x9E3779B97F4A7C15;  // odd, with its bits all over: 2^64 / the golden ratio

// Every matrix that is packed, in the order of the cache file. Embeddings are packed only where they are the output
// matrix as well; otherwise a row at a time is read from the GGUF file.
std::vector<MatrixInfo> packed_matrices(const Architecture& a) {
  std::vector<MatrixInfo> all{a.output};
  for (const LayerInfo& l : a.layers) {
    for (const MatrixInfo* m : {&l.q, &l.k, &l.v, &l.output, &l.gate, &l.up, &l.down}) all.push_back(*m);
  }
  return all;
}

std::vector<float> floats(std::span<const uint8_t> file, const VectorInfo& v) {
  std::vector<float> out(static_cast<size_t>(v.size));
  if (v) std::memcpy(out.data(), file.data() + v.offset, out.size() * sizeof(float));
  return out;
}

int64_t first_tensor(const ModelHeader& header) {
  int64_t first = header.file_size;
  for (const TensorInfo& t : header.tensors) first = std::min(first, t.offset);
  return first;
}

// The cache where it can be had, else memory: a folder that can't be written to costs start-up time, not the model.
Result<std::unique_ptr<PackedTensors>> obtain(const MappedFile& model, const WeightOptions& options,
                                              const SourceIdentity& source, std::span<const MatrixInfo> matrices,
                                              const Packing& packing) {
  const std::string& cache_path = options.cache_path;
  std::string why = "there is no place for a weight cache";
  if (!cache_path.empty()) {
    auto cached = open_cache(cache_path, source, matrices);
    if (cached) return cached;
    model.read_ahead(true);
    const Status written = write_cache(cache_path, source, model.bytes(), matrices, packing);
    model.read_ahead(false);
    if (!written && written.error().code == ErrorCode::cancelled) return fail(written.error());
    if (written) {
      cached = open_cache(cache_path, source, matrices);
      if (cached) return cached;
    }
    why = written ? cached.error().message : written.error().message;
  }
  if (options.must_map) {
    return fail(ErrorCode::unavailable, "the weights don't fit into memory and can't be mapped: " + why,
                "is the model's folder writable, with room for the model once more?");
  }
  model.read_ahead(true);
  auto packed = pack_tensors(model.bytes(), matrices, packing);
  model.read_ahead(false);
  return packed;
}

}  // namespace

PackedSize packed_size(const Architecture& architecture) {
  PackedSize size;
  for (const MatrixInfo& m : packed_matrices(architecture)) {
    (kernel::lm::is_quantized(m.format) ? size.any_quantized : size.any_float) = true;
    size.bytes += Bytes(kernel::lm::Matrix{m.format, m.rows, m.columns, nullptr}.bytes());
  }
  if (const MatrixInfo& m = architecture.embeddings; !architecture.tied) {
    size.bytes += Bytes(kernel::lm::gguf_row_bytes(m.format, m.columns) * m.rows);
  }
  return size;
}

Result<Weights> Weights::load(const WeightOptions& options) {
  SKEP_TRY(const ModelHeader header, read_header(options.path));
  Weights w;
  SKEP_TRY(w.architecture_, describe(header));
  SKEP_TRY(w.source_, MappedFile::open(options.path));
  // But for packing, what is read of it are vectors and rows of embeddings, here and there: with what the system reads
  // ahead around them, it would be all of it.
  w.source_.read_ahead(false);
  const auto file = w.source_.bytes();
  if (static_cast<int64_t>(file.size()) != header.file_size) {
    return fail(ErrorCode::corrupt, fmt::format("{} changed while it was read", options.path));
  }
  Architecture& a = w.architecture_;
  const VectorInfo& factors = rope_factors(a, options.context_tokens);
  if (factors) SKEP_CHECK(apply_rope_factors(a.rope, floats(file, factors)));

  const SourceIdentity source = identify(w.source_, first_tensor(header));
  w.source_.forget();
  w.fingerprint_ = source.fingerprint + (factors ? static_cast<uint64_t>(factors.offset) : 0) +
                   static_cast<uint64_t>(source.modified) * kMixed + source.inode;
  const std::vector<MatrixInfo> matrices = packed_matrices(a);
  // Else source and packed copy were both this process's memory until the end.
  Packing packing = options.packing;
  packing.was_read = [&w](int64_t offset, int64_t bytes) { w.source_.forget(offset, bytes); };
  SKEP_TRY(w.packed_, obtain(w.source_, options, source, matrices, packing));
  const PackedSize size = packed_size(a);
  w.bytes_ = size.bytes;
  w.any_quantized_ = size.any_quantized;
  w.any_float_ = size.any_float;

  size_t next = 0;
  const auto matrix = [&] { return w.packed_->matrix(next++); };
  w.output_ = matrix();
  w.output_norm_ = floats(file, a.output_norm);
  for (const LayerInfo& l : a.layers) {
    LayerWeights layer;
    for (kernel::lm::Matrix* m : {&layer.q, &layer.k, &layer.v, &layer.output, &layer.gate, &layer.up, &layer.down}) {
      *m = matrix();
    }
    layer.attention_norm = floats(file, l.attention_norm);
    layer.feed_forward_norm = floats(file, l.feed_forward_norm);
    layer.q_bias = floats(file, l.q_bias);
    layer.k_bias = floats(file, l.k_bias);
    layer.v_bias = floats(file, l.v_bias);
    layer.q_norm = floats(file, l.q_norm);
    layer.k_norm = floats(file, l.k_norm);
    w.layers_.push_back(std::move(layer));
  }
  w.source_.forget();
  return w;
}

void Weights::embed(int token, std::span<float> out) const {
  assert(token >= 0 && token < architecture_.vocabulary);
  if (architecture_.tied) return kernel::lm::unpack_row(output_, token, out);
  const MatrixInfo& m = architecture_.embeddings;
  const uint8_t* row = source_.bytes().data() + m.offset + token * kernel::lm::gguf_row_bytes(m.format, m.columns);
  kernel::lm::dequantize_row(m.format, row, out);
}

}  // namespace skep::engine::native
