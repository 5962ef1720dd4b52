#pragma once
// The seam to the tensors by our own forward pass, for dense decoders on CPUs (architecture.h says which). Results are
// batch-invariant: a token's logits are the same bits whatever else is in the step, however its context was cut into
// steps, shared, saved and loaded, on any number of threads and any instruction set.

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "engine/forward.h"
#include "engine/native/kv_pages.h"
#include "engine/native/pass.h"
#include "engine/native/team.h"
#include "engine/native/weights.h"

namespace skep::engine::native {

struct NativeOptions {
  std::string path;           // of the GGUF file
  std::string cache_path;     // of the packed weights (weight_cache.h); empty: pack into memory
  bool must_map = false;      // packed weights only as a mapped file: unavailable where there can be none
  int context_tokens = 4096;  // of one sequence; clamped to what the model was trained for
  int cells = 16384;
  int sequences = 64;  // ids
  int slots = 4;       // of them that grow at once
  int batch_tokens = 512;
  int output_rows = 64;  // at most batch_tokens
  int threads = 0;       // 0: one per CPU that this process may use
  kernel::lm::KvType kv_type = kernel::lm::KvType::f16;
  const kernel::lm::Kernels* kernels = nullptr;  // null: the best for this CPU
};

// Whether create() would take the model with these options, before anything is loaded. unsupported: libllama's to run;
// the message is the reason.
Status supports(const ModelHeader& header, const LoadOptions& options);

// The cells that LoadOptions ask for: kv_tokens, or room for every slot's whole context; at least one context.
int cells_for(const ModelHeader& header, const LoadOptions& options);

// What create() would need with these options, without loading anything. Fails as create() would.
Result<MemoryUse> measure(const NativeOptions& options);

// f16, bf16, q8_0; nothing for others.
std::optional<kernel::lm::KvType> kv_type_from(std::string_view name);

class NativeForward final : public Forward {
 public:
  static Result<std::unique_ptr<NativeForward>> create(const NativeOptions& options,
                                                       const WeightProgress& progress = {});

  [[nodiscard]] const ForwardLimits& limits() const override { return limits_; }
  [[nodiscard]] int free_cells() const override;
  Status step(std::span<const Slice> slices) override;
  [[nodiscard]] std::span<const float> logits(int row) const override;
  void share(SequenceId from, SequenceId to, int begin, int end) override;
  void drop(SequenceId sequence, int begin, int end) override;
  [[nodiscard]] Result<std::string> save(SequenceId sequence, int begin, int end) override;
  Status load(SequenceId sequence, int begin, int end, std::string_view bytes) override;
  Result<std::vector<std::vector<float>>> embed(std::span<const std::vector<Token>> inputs) override;
  [[nodiscard]] std::optional<Waits> waits() const override;
  // Weights larger than memory are not checked: that would read all of them again, for each of these few.
  Result<bool> verify_some() override { return streamed_ ? Result<bool>(false) : weights_.verify_some(); }
  void set_threads(int threads) override;
  void cancel() override { cancelled_.store(true, std::memory_order_relaxed); }

  // Weights, the KV cache when full, and buffers.
  [[nodiscard]] MemoryUse memory() const;
  [[nodiscard]] const KvPages& pages() const { return pages_; }
  [[nodiscard]] const char* kernels() const { return kernels_.name; }

 private:
  NativeForward(const NativeOptions& options, Weights weights, KvPages pages, const kernel::lm::Kernels& kernels);
  [[nodiscard]] Status check(std::span<const Slice> slices) const;

  ForwardLimits limits_;
  int slots_;
  bool streamed_;  // NativeOptions::must_map
  Weights weights_;
  KvPages pages_;
  const kernel::lm::Kernels& kernels_;
  Team team_;
  Pass pass_;
  Buffer<float> logits_;
  int members_ = 1;  // threads that compute, of the team's
  int rows_ = 0;     // of the last step
  std::chrono::nanoseconds stalled_{0};
  std::atomic<bool> cancelled_{false};
};

}  // namespace skep::engine::native
