#pragma once
// A forward pass for tests: instant, deterministic, and honest about the cache. A sequence's logits are a hash of the
// tokens that its cells really hold, so a wrong share, drop or load shows as other logits; a missing cell is an error.

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "engine/forward.h"

namespace skep::engine {

struct ToyOptions {
  int sequences = 64;
  int cells = 1024;
  int context_tokens = 256;
  int batch_tokens = 64;
  int vocabulary = 260;  // ToyVocabulary's
  bool can_share = true;
  bool can_truncate = true;
  // Paths of adapters that load_adapter() knows; each gives other logits.
  std::set<std::string> adapters;
  // The token that shall come after `history` has a logit far above the others; without it the hash alone decides.
  std::function<std::optional<Token>(std::span<const Token> history)> script;
  // Called before every step; an error is the step's. A hang is one that blocks until `cancelled` is true.
  std::function<Status(std::span<const Slice>, const std::atomic<bool>& cancelled)> before_step;
  std::function<Result<bool>()> verify;  // is verify_some()
};

class ToyForward final : public Forward {
 public:
  explicit ToyForward(ToyOptions options);

  [[nodiscard]] const ForwardLimits& limits() const override { return limits_; }
  Status step(std::span<const Slice> slices) override;
  [[nodiscard]] std::span<const float> logits(int row) const override;
  void share(SequenceId from, SequenceId to, int begin, int end) override;
  void drop(SequenceId sequence, int begin, int end) override;
  void use_adapter(AdapterId adapter, float scale) override {
    adapter_ = adapter;
    scale_ = scale;
  }
  Result<AdapterId> load_adapter(const std::string& path) override;
  void drop_adapter(AdapterId adapter) override;
  [[nodiscard]] Result<std::string> save(SequenceId sequence, int begin, int end) override;
  Status load(SequenceId sequence, int begin, int end, std::string_view bytes) override;
  Result<std::vector<std::vector<float>>> embed(std::span<const std::vector<Token>> inputs) override;
  Result<bool> verify_some() override { return options_.verify ? options_.verify() : false; }
  void cancel() override { cancelled_ = true; }

  // For assertions.
  [[nodiscard]] int cells_used() const { return static_cast<int>(cells_.size()); }
  [[nodiscard]] int tokens_evaluated() const { return evaluated_; }
  [[nodiscard]] int steps() const { return steps_; }
  [[nodiscard]] const std::map<AdapterId, std::string>& adapters() const { return adapters_; }  // that are loaded
  [[nodiscard]] std::vector<Token> tokens_of(SequenceId sequence) const;  // in the order of their positions

 private:
  struct Cell {
    Token token;
    int position;
    std::set<SequenceId> sequences;
  };
  [[nodiscard]] Result<std::vector<Token>> history(SequenceId sequence, int end) const;
  void compute(std::span<const Token> history);
  [[nodiscard]] Token seasoned(Token token) const;

  ToyOptions options_;
  ForwardLimits limits_;
  std::map<int, Cell> cells_;                           // by a number of its own
  std::map<SequenceId, std::map<int, int>> positions_;  // position → cell
  int next_cell_ = 0;
  std::vector<std::vector<float>> rows_;
  std::atomic<bool> cancelled_{false};
  std::map<AdapterId, std::string> adapters_;
  AdapterId adapter_ = 0, next_adapter_ = 1;
  float scale_ = 1;
  int evaluated_ = 0;
  int steps_ = 0;
};

}  // namespace skep::engine
