#pragma once
// A GGUF file loaded by libllama with one context: what LlamaForward and LlamaVocabulary work on. Loading is where
// files from outside meet libllama; the worker process is there so that a crash in it takes nothing else along.

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "engine/messages.h"

struct llama_model;
struct llama_context;

namespace skep::engine {

class LlamaModel {
 public:
  // Sequence ids beside the slots: nodes of the prefix tree, and one to move cells through.
  static constexpr int kNodeSequences = 120;

  // as_fast_as_can_be: libllama may repack weights for this processor, into memory of its own. as_in_the_file: it uses
  // them where they are mapped, so their pages can be given back and read again (weight_pager.h).
  enum class Weights { as_fast_as_can_be, as_in_the_file };

  // `progress` hears 0..1 and may return false to give up (cancelled). With options.measure_only nothing is allocated:
  // memory() is what libllama's simulation says, and the model can do nothing else.
  // not_found, invalid_argument (options that the model can't have), corrupt (not a model), unsupported, out_of_memory.
  static Result<std::unique_ptr<LlamaModel>> load(const LoadOptions& options,
                                                  const std::function<bool(float)>& progress,
                                                  Weights weights = Weights::as_fast_as_can_be);
  // Only the vocabulary and the metadata, without a context: for a forward pass that is not libllama's.
  static Result<std::unique_ptr<LlamaModel>> load_vocabulary(const LoadOptions& options);
  ~LlamaModel();
  LlamaModel(const LlamaModel&) = delete;
  LlamaModel& operator=(const LlamaModel&) = delete;

  [[nodiscard]] llama_model* model() const { return model_.get(); }
  [[nodiscard]] llama_context* context() const { return context_.get(); }
  [[nodiscard]] const LoadOptions& options() const { return options_; }
  [[nodiscard]] const Loaded& loaded() const { return loaded_; }
  [[nodiscard]] bool encodes_only() const { return encodes_only_; }  // BERT and the like: embeddings, no generation
  [[nodiscard]] int sequences() const { return sequences_; }         // ids of the context
  [[nodiscard]] int cells() const { return cells_; }

 private:
  struct Free {
    void operator()(llama_model* model) const;
    void operator()(llama_context* context) const;
  };
  LlamaModel() = default;
  Status open(const std::function<bool(float)>& progress, Weights weights, bool vocabulary_only);
  Status shape();
  Status make_context();
  void measure();

  LoadOptions options_;
  std::unique_ptr<llama_model, Free> model_;
  std::unique_ptr<llama_context, Free> context_;
  Loaded loaded_;
  bool encodes_only_ = false;
  int sequences_ = 0;
  int cells_ = 0;
};

}  // namespace skep::engine
