#pragma once
// Plans a task for a language mind: whose words stand before the question, which model answers (language/route.h), with
// which parameters, under which grammar. Reads the residency and the queue's state; changes nothing.

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/model_source.h"
#include "agent/planner.h"
#include "agent/roster.h"
#include "mind/language/parameters.h"
#include "mind/language/route.h"
#include "model/residency.h"

namespace skep::agent {

// What users wrote beyond so many tokens is shortened by the tier's rules (mind/language/compression.h).
struct CompressionOptions {
  bool on = false;
  std::array<int, language::kTiers> above = {500, 1000, 2000};  // tokens of one message: fast, balanced, deep
};

struct PlannerOptions {
  language::RouteOptions routing;
  language::ParameterTable parameters;
  CompressionOptions compression;
  std::vector<std::string> public_preambles;  // texts whose KV cells callers share who begin with them
};

class LanguagePlanner final : public Planner {
 public:
  // `load`: how full the queue is, 0..1. All outlive this.
  LanguagePlanner(const Roster& roster, const ModelSource& models, const model::Residency& residency,
                  PlannerOptions options);
  void on_load(std::function<double()> load) { load_ = std::move(load); }

  // What stands behind an agent's own prompt: its core memory (memory/blocks.h).
  void on_core(std::function<std::string(const std::string& agent)> core) { core_ = std::move(core); }

  Result<Plan> plan(const TaskRequest& request) override;

  // The decision alone, with its factors and explanation.
  [[nodiscard]] Result<language::Route> route(const TaskRequest& request) const;
  [[nodiscard]] int64_t tokens_saved() const { return saved_; }  // by compression, estimated
  [[nodiscard]] const PlannerOptions& options() const { return options_; }

 private:
  struct Addressed {
    const AgentSpec* agent = nullptr;  // whose task it is; null: nobody's
    language::Choice choice;
  };
  [[nodiscard]] Result<Addressed> address(const TaskRequest& request) const;
  [[nodiscard]] language::RouteFacts facts() const;
  [[nodiscard]] Result<language::Route> decide(const TaskRequest& request, const Addressed& addressed) const;

  const Roster& roster_;
  const ModelSource& models_;
  const model::Residency& residency_;
  PlannerOptions options_;
  std::function<double()> load_;
  std::function<std::string(const std::string&)> core_;
  [[nodiscard]] language::Request compressed(const language::Request& input, language::Tier tier);

  int64_t saved_ = 0;
  uint64_t plans_;  // begins at random, so that ids of tool calls differ between daemons
};

}  // namespace skep::agent
