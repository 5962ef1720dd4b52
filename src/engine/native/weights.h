#pragma once
// A model's weights as the pass uses them: matrices packed into tiles, vectors as floats. Read-only, shared by threads.

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "engine/native/architecture.h"
#include "engine/native/mapped_file.h"
#include "engine/native/weight_cache.h"
#include "kernel/lm/format.h"

namespace skep::engine::native {

struct LayerWeights {
  kernel::lm::Matrix q, k, v, output, gate, up, down;
  std::vector<float> attention_norm, feed_forward_norm;
  std::vector<float> q_bias, k_bias, v_bias;  // empty: none
  std::vector<float> q_norm, k_norm;          // empty: none
};

// What load() will map: the bytes of all packed matrices and of the embeddings where they are read from the GGUF file,
// and which kinds of operand they need.
struct PackedSize {
  Bytes bytes;
  bool any_quantized = false, any_float = false;
};
PackedSize packed_size(const Architecture& architecture);

struct WeightOptions {
  std::string path;        // of the GGUF file
  std::string cache_path;  // of the packed matrices; empty: pack into memory of this process
  bool must_map = false;   // … but never fall back on that: they are more than memory
  int context_tokens = 0;  // of one sequence: longrope depends on it
  Packing packing;
};

class Weights {
 public:
  // Maps the packed matrices from the cache, which is made first where it is missing. unavailable: it can't be made,
  // and must_map.
  static Result<Weights> load(const WeightOptions& options);

  [[nodiscard]] const Architecture& architecture() const { return architecture_; }
  [[nodiscard]] const LayerWeights& layer(int i) const { return layers_[static_cast<size_t>(i)]; }
  [[nodiscard]] int layers() const { return static_cast<int>(layers_.size()); }
  [[nodiscard]] const std::vector<float>& output_norm() const { return output_norm_; }
  [[nodiscard]] const kernel::lm::Matrix& output() const { return output_; }
  [[nodiscard]] bool any_quantized() const { return any_quantized_; }  // matrices beside the embeddings
  [[nodiscard]] bool any_float() const { return any_float_; }

  // The embedding of one token; token in [0, vocabulary).
  void embed(int token, std::span<float> out) const;

  [[nodiscard]] Bytes bytes() const { return bytes_; }  // PackedSize::bytes
  // Of what the model is: shape and sampled data, and the file with its time. What saved KV pages carry.
  [[nodiscard]] uint64_t fingerprint() const { return fingerprint_; }
  Result<bool> verify_some() { return packed_->verify_some(); }  // weight_cache.h

 private:
  Weights() = default;
  Architecture architecture_;
  MappedFile source_;
  std::unique_ptr<PackedTensors> packed_;
  std::vector<LayerWeights> layers_;
  std::vector<float> output_norm_;
  kernel::lm::Matrix output_;
  bool any_quantized_ = false, any_float_ = false;
  Bytes bytes_;
  uint64_t fingerprint_ = 0;
};

}  // namespace skep::engine::native
