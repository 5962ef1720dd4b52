#pragma once
// Forward through libllama: any model that it runs, on CPU and GPU. One unified KV cache; ids are its sequence ids.

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/forward.h"
#include "engine/llama_model.h"

struct llama_adapter_lora;

namespace skep::engine {

class LlamaForward final : public Forward {
 public:
  // `model` is not owned and outlives this.
  explicit LlamaForward(LlamaModel& model);
  ~LlamaForward() override;

  [[nodiscard]] const ForwardLimits& limits() const override { return limits_; }
  Status step(std::span<const Slice> slices) override;
  [[nodiscard]] std::span<const float> logits(int row) const override;
  void share(SequenceId from, SequenceId to, int begin, int end) override;
  void drop(SequenceId sequence, int begin, int end) override;
  void use_adapter(AdapterId adapter, float scale) override;
  Result<AdapterId> load_adapter(const std::string& path) override;
  void drop_adapter(AdapterId adapter) override;
  [[nodiscard]] Result<std::string> save(SequenceId sequence, int begin, int end) override;
  Status load(SequenceId sequence, int begin, int end, std::string_view bytes) override;
  Result<std::vector<std::vector<float>>> embed(std::span<const std::vector<Token>> inputs) override;
  void set_threads(int threads) override;
  void cancel() override { cancelled_ = true; }

 private:
  struct Batch;
  Status decode(const char* what);
  Status embed_batch(std::span<const std::vector<Token>> inputs, std::vector<std::vector<float>>& vectors);

  LlamaModel& model_;
  ForwardLimits limits_;
  SequenceId passage_ = 0;  // the id that cells move through in save() and load()
  std::unique_ptr<Batch> batch_;
  struct FreeAdapter {
    void operator()(llama_adapter_lora* adapter) const;
  };
  std::map<AdapterId, std::unique_ptr<llama_adapter_lora, FreeAdapter>> adapters_;
  AdapterId next_adapter_ = 1;
  std::pair<AdapterId, float> used_{0, 1.0F};  // that the context computes with
  std::vector<int> rows_;                      // index in the batch of each output
  std::atomic<bool> cancelled_{false};
};

}  // namespace skep::engine
