#pragma once
// The population for models whose joint is too large: per agent the marginals of all factors, mean-field inference and
// planning with the f64 reference functions, over all cores but without vectors. Rows hold the marginals one after the
// other in T; arithmetic is f64. Internal to mind/belief.

#include "mind/belief/expected_free_energy.h"
#include "mind/belief/policy_tree.h"
#include "mind/belief/population_base.h"
#include "mind/belief/state_inference.h"

namespace skep::belief {

class MeanFieldPopulation final : public PopulationBase {
 public:
  MeanFieldPopulation(GenerativeModel model, CompiledModel compiled, PopulationOptions options,
                      kernel::ThreadPool& pool, StateFile state);

  void marginal(uint32_t slot, int factor, std::span<double> out) const override;
  Status learn(std::span<const uint16_t> observations) override;
  Status set_own_model(uint32_t slot, const std::vector<Tensor>& A, const std::vector<Tensor>& B) override;
  std::string backend() const override;

 protected:
  void update(const Batch& batch) override;
  std::vector<double> belief_of(const std::vector<std::vector<double>>& factors) const override;
  void write_habits(uint32_t slot, std::span<const double> E) override;
  void write_start(uint32_t slot, std::byte* row) override;

 private:
  struct Scratch {
    explicit Scratch(const MeanFieldPopulation& population);
    InferenceScratch inference;
    EfeScratch efe;
    std::vector<double> q, prior, q_pi, value;
    std::vector<std::vector<double>> levels;  // beliefs per depth of the tree
    std::vector<int> observation;
    std::vector<std::vector<double>> marginals;
  };
  void load(const std::byte* row, double* q) const;
  void store(const double* q, std::byte* row) const;
  void infer(const Batch& batch, uint32_t i, Scratch& s);
  void plan_node(Scratch& s, uint32_t node, int depth, double value) const;
  uint16_t choose(Scratch& s, uint32_t slot) const;
  // ln E: the shared one, or the agent's own.
  [[nodiscard]] const double* habits(uint32_t slot) const;

  CompiledModel compiled_;
  PolicyTree tree_;
  std::vector<JointAction> unpacked_;  // per joint action
  std::vector<double> start_;          // D of all factors
  std::vector<Scratch> scratch_;
};

}  // namespace skep::belief
