#include "mind/belief/golden_case.h"

#include <fmt/format.h>

#include <cmath>

#include "mind/belief/json_tensor.h"

namespace skep::belief {
namespace {

namespace json = boost::json;

void flatten(const json::value& value, std::vector<double>& out) {
  if (value.is_array()) {
    for (const json::value& v : value.get_array()) flatten(v, out);
  } else if (value.is_number()) {
    out.push_back(value.to_number<double>());
  } else {
    out.push_back(std::nan(""));
  }
}

Result<std::vector<Tensor>> tensors(const json::object& o, const char* key) {
  std::vector<Tensor> list;
  const json::value* v = o.if_contains(key);
  if (v == nullptr || v->is_null()) return list;
  if (!v->is_array()) return fail(ErrorCode::invalid_argument, fmt::format("{}: expected a list", key));
  for (size_t i = 0; i < v->get_array().size(); ++i) {
    SKEP_TRY(Tensor t, tensor_from_json(v->get_array()[i], fmt::format("{}[{}]", key, i)));
    list.push_back(std::move(t));
  }
  return list;
}

Result<std::vector<std::vector<int>>> int_lists(const json::object& o, const char* key) {
  std::vector<std::vector<int>> lists;
  const json::value* v = o.if_contains(key);
  if (v == nullptr || v->is_null()) return lists;
  if (!v->is_array()) return fail(ErrorCode::invalid_argument, fmt::format("{}: expected a list", key));
  for (const json::value& item : v->get_array()) {
    SKEP_TRY(auto list, golden_ints(item, key));
    lists.push_back(std::move(list));
  }
  return lists;
}

double number(const json::object& o, const char* key, double otherwise) {
  const json::value* v = o.if_contains(key);
  return v != nullptr && v->is_number() ? v->to_number<double>() : otherwise;
}

bool flag(const json::object& o, const char* key) {
  const json::value* v = o.if_contains(key);
  return v != nullptr && v->is_bool() && v->get_bool();
}

}  // namespace

void GoldenRecorder::compare(const std::string& quantity, const std::string& where, std::span<const double> ours,
                             const json::value& golden) {
  std::vector<double> expected;
  flatten(golden, expected);
  if (expected.size() != ours.size()) {
    mismatch(quantity, where, fmt::format("{} values, expected {}", ours.size(), expected.size()));
    return;
  }
  auto& [worst, values] = quantities_[fmt::format("{} {}", engine_, quantity)];
  values += expected.size();
  for (size_t i = 0; i < expected.size(); ++i) {
    const double error = std::abs(ours[i] - expected[i]);
    if (!(error <= worst)) worst = error;
    if (!(error <= tolerance_)) {
      mismatch(quantity, fmt::format("{}[{}]", where, i), fmt::format("{} instead of {}", ours[i], expected[i]));
    }
  }
}

void GoldenRecorder::compare(const std::string& quantity, const std::string& where, double ours,
                             const json::value& golden) {
  compare(quantity, where, std::span<const double>(&ours, 1), golden);
}

void GoldenRecorder::mismatch(const std::string& quantity, const std::string& where, const std::string& what) {
  if (failure_.empty()) failure_ = fmt::format("{}: {} {}: {}", engine_, where, quantity, what);
}

Result<std::vector<int>> golden_ints(const json::value& value, const char* name) {
  if (!value.is_array()) return fail(ErrorCode::invalid_argument, fmt::format("{}: expected whole numbers", name));
  std::vector<int> list;
  for (const json::value& v : value.get_array()) {
    // Actions may stand as 1.0.
    const double x = v.is_number() ? v.to_number<double>() : std::nan("");
    if (!(x >= -1 && x <= 1e6) || x != std::floor(x))
      return fail(ErrorCode::invalid_argument, fmt::format("{}: expected whole numbers", name));
    list.push_back(static_cast<int>(x));
  }
  return list;
}

Result<GoldenInput> read_golden(const json::value& value) {
  if (!value.is_object()) return fail(ErrorCode::invalid_argument, "expected an object");
  const json::object& o = value.get_object();
  GoldenInput in;
  SKEP_TRY(in.model.A, tensors(o, "A"));
  SKEP_TRY(in.model.B, tensors(o, "B"));
  SKEP_TRY(in.model.C, tensors(o, "C"));
  SKEP_TRY(in.model.D, tensors(o, "D"));
  SKEP_TRY(in.model.pA, tensors(o, "pA"));
  SKEP_TRY(in.model.pB, tensors(o, "pB"));
  SKEP_TRY(in.model.pD, tensors(o, "pD"));
  SKEP_TRY(in.model.A_factors, int_lists(o, "A_factor_list"));
  SKEP_TRY(in.model.B_factors, int_lists(o, "B_factor_list"));
  if (const json::value* E = o.if_contains("E"); E != nullptr && !E->is_null()) flatten(*E, in.model.E);
  if (const json::value* p = o.if_contains("policies"); p != nullptr && p->is_array()) {
    for (const json::value& policy : p->get_array()) {
      json::object wrapped;
      wrapped["policy"] = policy;
      SKEP_TRY(Policy steps, int_lists(wrapped, "policy"));
      in.model.policies.push_back(std::move(steps));
    }
  }
  in.model.policy_length = static_cast<int>(number(o, "policy_len", 1));
  SKEP_TRY(in.model, complete(std::move(in.model)));

  const json::value* algorithm = o.if_contains("inference_algo");
  const std::string name =
      algorithm != nullptr && algorithm->is_string() ? std::string(algorithm->get_string()) : "VANILLA";
  if (name != "VANILLA" && name != "MMP") return fail(ErrorCode::unsupported, "inference_algo: " + name);
  in.messages = name == "MMP";
  in.options.inference = in.messages ? Inference::marginal_messages : Inference::mean_field;
  in.options.inference_horizon = static_cast<int>(number(o, "inference_horizon", 1));
  in.options.gamma = number(o, "gamma", 16);
  in.options.alpha = number(o, "alpha", 16);
  in.options.use_param_info_gain = flag(o, "use_param_info_gain");
  in.options.sophisticated = flag(o, "sophisticated");
  // The case says "si_horizon 2" in words only; later generators may write the number.
  in.options.si_horizon = static_cast<int>(number(o, "si_horizon", 2));
  in.options.si_policy_prune = number(o, "si_policy_prune_threshold", 1.0 / 16);
  in.options.si_state_prune = number(o, "si_state_prune_threshold", 1.0 / 16);
  in.options.si_prune_penalty = number(o, "si_prune_penalty", 512);
  in.options.lr_pA = number(o, "lr_pA", 1);
  in.options.lr_pB = number(o, "lr_pB", 1);
  in.options.lr_pD = number(o, "lr_pD", 1);
  const json::value* steps = o.if_contains("steps");
  if (steps == nullptr || !steps->is_array() || steps->get_array().empty())
    return fail(ErrorCode::invalid_argument, "no steps");
  in.steps = steps->get_array();
  return in;
}

}  // namespace skep::belief
