// validate() and complete(): what makes a model a model.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "mind/belief/model.h"

namespace skep::belief {
namespace {

tl::unexpected<Error> invalid(const std::string& where, const std::string& what, std::string hint = {}) {
  return fail(ErrorCode::invalid_argument, fmt::format("{}: {}", where, what), std::move(hint));
}

// "A[1][:, 2, 0]": the column of axis 0 at flat position `column` among the other axes.
std::string column_name(const std::string& array, const Tensor& tensor, size_t column) {
  std::vector<std::string> index;
  for (size_t axis = tensor.shape.size(); axis-- > 1;) {
    const auto extent = static_cast<size_t>(tensor.shape[axis]);
    index.push_back(std::to_string(column % extent));
    column /= extent;
  }
  index.push_back(":");
  std::reverse(index.begin(), index.end());
  return fmt::format("{}[{}]", array, fmt::join(index, ", "));
}

std::string entry_name(const std::string& array, const Tensor& tensor, size_t at) {
  std::vector<std::string> index;
  for (size_t axis = tensor.shape.size(); axis-- > 0;) {
    const auto extent = static_cast<size_t>(tensor.shape[axis]);
    index.push_back(std::to_string(at % extent));
    at /= extent;
  }
  std::reverse(index.begin(), index.end());
  return fmt::format("{}[{}]", array, fmt::join(index, ", "));
}

Status check_shape(const std::string& name, const Tensor& tensor, const std::vector<int>& shape,
                   const ModelLimits& limits) {
  int64_t entries = 1;
  for (int extent : shape) {
    if (entries > limits.entries_per_array / std::max(extent, 1)) {
      return fail(ErrorCode::too_large, fmt::format("{}: shape {} has more than {} entries", name, to_string(shape),
                                                    limits.entries_per_array));
    }
    entries *= extent;
  }
  if (tensor.shape != shape || tensor.data.size() != Tensor::count(tensor.shape)) {
    return invalid(name, fmt::format("shape is {}, expected {}", to_string(tensor.shape), to_string(shape)));
  }
  return {};
}

Status check_finite(const std::string& name, const Tensor& tensor, bool non_negative) {
  for (size_t i = 0; i < tensor.data.size(); ++i) {
    const double value = tensor.data[i];
    if (!std::isfinite(value)) return invalid(entry_name(name, tensor, i), "is not a finite number");
    if (non_negative && value < 0) return invalid(entry_name(name, tensor, i), fmt::format("is negative ({})", value));
  }
  return {};
}

// Every column along axis 0 is a distribution, or for counts has at least one positive count.
Status check_columns(const std::string& name, const Tensor& tensor, bool counts, double tolerance) {
  SKEP_CHECK(check_finite(name, tensor, true));
  const size_t columns = tensor.data.size() / static_cast<size_t>(tensor.shape[0]);
  for (size_t column = 0; column < columns; ++column) {
    double sum = 0;
    for (size_t i = column; i < tensor.data.size(); i += columns) sum += tensor.data[i];
    if (counts && !(sum > 0)) return invalid(column_name(name, tensor, column), "has no positive count");
    if (!counts && !(std::abs(sum - 1) <= tolerance)) {
      return invalid(column_name(name, tensor, column), fmt::format("sums to {}, not to 1", sum));
    }
  }
  return {};
}

Status check_dependencies(const std::string& name, const std::vector<int>& factors, int count) {
  if (factors.empty()) return invalid(name, "names no factor");
  for (size_t i = 0; i < factors.size(); ++i) {
    if (factors[i] < 0 || factors[i] >= count) return invalid(name, fmt::format("no factor {}", factors[i]));
    if (std::find(factors.begin(), factors.begin() + static_cast<std::ptrdiff_t>(i), factors[i]) !=
        factors.begin() + static_cast<std::ptrdiff_t>(i)) {
      return invalid(name, fmt::format("factor {} stands twice", factors[i]));
    }
  }
  return {};
}

std::vector<int> shape_of(int lead, const std::vector<int>& factors, const std::vector<int>& num_states, int last) {
  std::vector<int> shape{lead};
  for (int f : factors) shape.push_back(num_states[static_cast<size_t>(f)]);
  if (last > 0) shape.push_back(last);
  return shape;
}

Status check_dimensions(const GenerativeModel& m, const ModelLimits& limits) {
  const auto within = [](const std::string& name, const std::vector<int>& values, int most) -> Status {
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] < 1 || values[i] > most) {
        return invalid(fmt::format("{}[{}]", name, i), fmt::format("is {}, expected 1 to {}", values[i], most));
      }
    }
    return {};
  };
  if (m.factors() < 1 || m.factors() > limits.factors) {
    return invalid("num_states", fmt::format("{} factors, expected 1 to {}", m.factors(), limits.factors));
  }
  if (m.modalities() < 1 || m.modalities() > limits.modalities) {
    return invalid("num_obs", fmt::format("{} modalities, expected 1 to {}", m.modalities(), limits.modalities));
  }
  SKEP_CHECK(within("num_states", m.num_states, limits.states_per_factor));
  SKEP_CHECK(within("num_obs", m.num_obs, limits.obs_per_modality));
  SKEP_CHECK(within("num_controls", m.num_controls, limits.controls_per_factor));
  const auto factors = static_cast<size_t>(m.factors());
  const auto modalities = static_cast<size_t>(m.modalities());
  const auto per = [](const std::string& name, size_t have, size_t want) -> Status {
    if (have != want) return invalid(name, fmt::format("{} entries, expected {}", have, want));
    return {};
  };
  SKEP_CHECK(per("num_controls", m.num_controls.size(), factors));
  SKEP_CHECK(per("A", m.A.size(), modalities));
  SKEP_CHECK(per("A_factors", m.A_factors.size(), modalities));
  SKEP_CHECK(per("C", m.C.size(), modalities));
  SKEP_CHECK(per("B", m.B.size(), factors));
  SKEP_CHECK(per("B_factors", m.B_factors.size(), factors));
  SKEP_CHECK(per("D", m.D.size(), factors));
  if (!m.pA.empty()) SKEP_CHECK(per("pA", m.pA.size(), modalities));
  if (!m.pB.empty()) SKEP_CHECK(per("pB", m.pB.size(), factors));
  if (!m.pD.empty()) SKEP_CHECK(per("pD", m.pD.size(), factors));
  if (!m.factor_names.empty()) SKEP_CHECK(per("factor_names", m.factor_names.size(), factors));
  if (!m.modality_names.empty()) SKEP_CHECK(per("modality_names", m.modality_names.size(), modalities));
  double actions = 1;
  for (int controls : m.num_controls) actions *= controls;
  if (actions > 65'535)
    return fail(ErrorCode::too_large, fmt::format("num_controls: {} joint actions, at most 65535", actions));
  return {};
}

Status check_policies(const GenerativeModel& m, const ModelLimits& limits) {
  int64_t count = static_cast<int64_t>(m.policies.size());
  if (m.policies.empty()) {
    if (m.policy_length < 1)
      return invalid("policy_length", fmt::format("is {}, expected at least 1", m.policy_length));
    count = 1;
    for (int t = 0; t < m.policy_length && count <= limits.policies && m.joint_actions() > 1; ++t) {
      count *= m.joint_actions();
    }
    if (m.policy_length > 1024) return fail(ErrorCode::too_large, "policy_length: at most 1024");
  }
  if (count > limits.policies) {
    return fail(ErrorCode::too_large,
                fmt::format("policies: more than {} of length {}", limits.policies, m.policy_length),
                "list the policies to consider, or use sophisticated inference");
  }
  for (size_t p = 0; p < m.policies.size(); ++p) {
    const auto name = fmt::format("policies[{}]", p);
    if (m.policies[p].empty() || m.policies[p].size() != m.policies[0].size()) {
      return invalid(name, fmt::format("has {} steps, expected {}", m.policies[p].size(), m.policies[0].size()));
    }
    for (size_t t = 0; t < m.policies[p].size(); ++t) {
      const JointAction& action = m.policies[p][t];
      if (action.size() != m.num_controls.size()) {
        return invalid(fmt::format("{}[{}]", name, t),
                       fmt::format("{} actions, one per factor expected", action.size()));
      }
      for (size_t f = 0; f < action.size(); ++f) {
        if (action[f] < 0 || action[f] >= m.num_controls[f]) {
          return invalid(fmt::format("{}[{}][{}]", name, t, f), fmt::format("no action {}", action[f]));
        }
      }
    }
  }
  if (!m.E.empty()) {
    if (static_cast<int64_t>(m.E.size()) != count) {
      return invalid("E", fmt::format("{} entries, expected one for each of {} policies", m.E.size(), count));
    }
    SKEP_CHECK(check_columns("E", Tensor({static_cast<int>(m.E.size())}, m.E), false, limits.sum_tolerance));
  }
  return {};
}

Status check_preferences(const GenerativeModel& m) {
  for (size_t i = 0; i < m.C.size(); ++i) {
    const auto name = fmt::format("C[{}]", i);
    const Tensor& C = m.C[i];
    const bool fits = (C.rank() == 1 || (C.rank() == 2 && C.shape[1] > 0)) && C.shape[0] == m.num_obs[i] &&
                      C.data.size() == Tensor::count(C.shape);
    if (!fits)
      return invalid(name, fmt::format("shape is {}, expected [{}] or [{}, time]", to_string(C.shape), m.num_obs[i],
                                       m.num_obs[i]));
    const int length = m.policies.empty() ? m.policy_length : static_cast<int>(m.policies[0].size());
    if (C.rank() == 2 && C.shape[1] < length) {
      return invalid(name, fmt::format("covers {} steps, but policies are {} long", C.shape[1], length));
    }
    SKEP_CHECK(check_finite(name, C, false));
  }
  return {};
}

// A state is reached if D starts in it or any transition leads to it.
Status check_reached(const GenerativeModel& m, std::vector<ModelWarning>* warnings) {
  for (size_t f = 0; f < m.B.size(); ++f) {
    const size_t row = m.B[f].data.size() / static_cast<size_t>(m.num_states[f]);
    for (size_t s = 0; s < static_cast<size_t>(m.num_states[f]); ++s) {
      if (m.D[f].data[s] > 0) continue;
      const auto first = m.B[f].data.begin() + static_cast<std::ptrdiff_t>(s * row);
      if (std::any_of(first, first + static_cast<std::ptrdiff_t>(row), [](double p) { return p > 0; })) continue;
      const auto where = fmt::format("B[{}][{}, …]", f, s);
      const auto what = fmt::format("nothing reaches state {}: no transition leads to it, and D[{}][{}] is 0", s, f, s);
      if (warnings == nullptr) return invalid(where, what);
      warnings->push_back({where, what});
    }
  }
  return {};
}

}  // namespace

Status validate(const GenerativeModel& m, const ModelLimits& limits, std::vector<ModelWarning>* warnings) {
  SKEP_CHECK(check_dimensions(m, limits));
  for (size_t i = 0; i < m.A.size(); ++i) {
    const auto name = fmt::format("A[{}]", i);
    SKEP_CHECK(check_dependencies(fmt::format("A_factors[{}]", i), m.A_factors[i], m.factors()));
    const auto shape = shape_of(m.num_obs[i], m.A_factors[i], m.num_states, 0);
    SKEP_CHECK(check_shape(name, m.A[i], shape, limits));
    SKEP_CHECK(check_columns(name, m.A[i], false, limits.sum_tolerance));
    if (!m.pA.empty()) {
      SKEP_CHECK(check_shape("p" + name, m.pA[i], shape, limits));
      SKEP_CHECK(check_columns("p" + name, m.pA[i], true, 0));
    }
  }
  for (size_t f = 0; f < m.B.size(); ++f) {
    const auto name = fmt::format("B[{}]", f);
    SKEP_CHECK(check_dependencies(fmt::format("B_factors[{}]", f), m.B_factors[f], m.factors()));
    const auto shape = shape_of(m.num_states[f], m.B_factors[f], m.num_states, m.num_controls[f]);
    SKEP_CHECK(check_shape(name, m.B[f], shape, limits));
    SKEP_CHECK(check_columns(name, m.B[f], false, limits.sum_tolerance));
    const auto prior = fmt::format("D[{}]", f);
    SKEP_CHECK(check_shape(prior, m.D[f], {m.num_states[f]}, limits));
    SKEP_CHECK(check_columns(prior, m.D[f], false, limits.sum_tolerance));
    if (!m.pB.empty()) {
      SKEP_CHECK(check_shape("p" + name, m.pB[f], shape, limits));
      SKEP_CHECK(check_columns("p" + name, m.pB[f], true, 0));
    }
    if (!m.pD.empty()) {
      SKEP_CHECK(check_shape("p" + prior, m.pD[f], {m.num_states[f]}, limits));
      SKEP_CHECK(check_columns("p" + prior, m.pD[f], true, 0));
    }
  }
  SKEP_CHECK(check_policies(m, limits));
  SKEP_CHECK(check_preferences(m));
  return check_reached(m, warnings);
}

namespace {

// Columns along axis 0 of the counts, normalised. A column without counts stays zero and fails validation.
Tensor normalised(const Tensor& counts) {
  Tensor p = counts;
  const size_t columns = p.shape.empty() || p.shape[0] == 0 ? 0 : p.data.size() / static_cast<size_t>(p.shape[0]);
  for (size_t column = 0; column < columns; ++column) {
    double sum = 0;
    for (size_t i = column; i < p.data.size(); i += columns) sum += p.data[i];
    for (size_t i = column; sum > 0 && i < p.data.size(); i += columns) p.data[i] /= sum;
  }
  return p;
}

}  // namespace

Result<GenerativeModel> complete(GenerativeModel m, const ModelLimits& limits) {
  const auto from_counts = [](std::vector<Tensor>& arrays, const std::vector<Tensor>& counts) {
    if (!arrays.empty()) return;
    for (const Tensor& c : counts) arrays.push_back(normalised(c));
  };
  from_counts(m.A, m.pA);
  from_counts(m.B, m.pB);
  from_counts(m.D, m.pD);
  if (m.num_obs.empty()) {
    for (const Tensor& A : m.A) m.num_obs.push_back(A.shape.empty() ? 0 : A.shape.front());
  }
  if (m.num_states.empty()) {
    for (const Tensor& B : m.B) m.num_states.push_back(B.shape.empty() ? 0 : B.shape.front());
  }
  if (m.num_controls.empty()) {
    for (const Tensor& B : m.B) m.num_controls.push_back(B.shape.empty() ? 0 : B.shape.back());
  }
  if (m.A_factors.empty()) {
    std::vector<int> all(m.num_states.size());
    std::iota(all.begin(), all.end(), 0);
    m.A_factors.assign(m.A.size(), all);
  }
  if (m.B_factors.empty()) {
    for (int f = 0; f < m.factors(); ++f) m.B_factors.push_back({f});
  }
  SKEP_CHECK(check_dimensions(
      [&] {
        GenerativeModel shape = m;  // C and D may still be missing here; only sizes matter
        shape.C.resize(m.num_obs.size());
        shape.D.resize(m.num_states.size());
        return shape;
      }(),
      limits));
  if (m.C.empty()) {
    for (int n : m.num_obs) m.C.emplace_back(std::vector<int>{n});
  }
  if (m.D.empty()) {
    for (int n : m.num_states)
      m.D.emplace_back(std::vector<int>{n}, std::vector<double>(static_cast<size_t>(n), 1.0 / n));
  }
  SKEP_CHECK(validate(m, limits));
  return m;
}

}  // namespace skep::belief
