#include "mind/belief/joint_model.h"

#include <fmt/format.h>

#include <numeric>

namespace skep::belief {
std::vector<uint32_t> columns_of(const GenerativeModel& m, const std::vector<int>& subset) {
  std::vector<uint32_t> columns(static_cast<size_t>(m.joint_states()));
  std::vector<int> state(m.num_states.size(), 0);
  for (uint32_t& column : columns) {
    column = 0;
    for (int f : subset) {
      column = column * static_cast<uint32_t>(m.num_states[static_cast<size_t>(f)]) +
               static_cast<uint32_t>(state[static_cast<size_t>(f)]);
    }
    for (size_t f = state.size(); f-- > 0 && ++state[f] == m.num_states[f];) state[f] = 0;
  }
  return columns;
}

Result<GenerativeModel> joint_model(const GenerativeModel& m, int64_t limit, Bytes bytes) {
  if (m.factors() == 1) return m;
  const int64_t joint = m.joint_states();
  if (joint > limit) {
    return fail(ErrorCode::too_large, fmt::format("{} joint states, at most {}", joint, limit),
                "use mean-field inference");
  }
  const auto states = static_cast<size_t>(joint);
  const auto actions = static_cast<size_t>(m.joint_actions());
  const double size = 8.0 * static_cast<double>(states) * static_cast<double>(states) * static_cast<double>(actions);
  if (size > static_cast<double>(bytes.count)) {
    return fail(ErrorCode::too_large,
                fmt::format("joint transitions take {:.0f} bytes, at most {}", size, to_string(bytes)),
                "use mean-field inference");
  }

  GenerativeModel j;
  j.name = m.name;
  j.num_states = {static_cast<int>(joint)};
  j.num_obs = m.num_obs;
  j.num_controls = {static_cast<int>(actions)};
  j.A_factors.assign(m.A.size(), {0});
  j.B_factors = {{0}};
  j.C = m.C;
  j.E = m.E;
  j.policy_length = m.policy_length;
  j.modality_names = m.modality_names;
  for (size_t i = 0; i < m.A.size(); ++i) {
    const auto columns = columns_of(m, m.A_factors[i]);
    const size_t width = m.A[i].data.size() / static_cast<size_t>(m.num_obs[i]);
    Tensor A({m.num_obs[i], static_cast<int>(joint)});
    for (size_t o = 0; o < static_cast<size_t>(m.num_obs[i]); ++o) {
      for (size_t s = 0; s < states; ++s) A.data[o * states + s] = m.A[i].data[o * width + columns[s]];
    }
    j.A.push_back(std::move(A));
  }

  Tensor B({static_cast<int>(joint), static_cast<int>(joint), static_cast<int>(actions)});
  std::fill(B.data.begin(), B.data.end(), 1.0);
  Tensor D({static_cast<int>(joint)});
  std::fill(D.data.begin(), D.data.end(), 1.0);
  for (size_t f = 0; f < m.B.size(); ++f) {
    const auto own = columns_of(m, {static_cast<int>(f)});
    const auto parents = columns_of(m, m.B_factors[f]);
    const auto controls = static_cast<size_t>(m.num_controls[f]);
    const size_t width = m.B[f].data.size() / static_cast<size_t>(m.num_states[f]);
    for (size_t u = 0; u < actions; ++u) {
      const auto uf = static_cast<size_t>(m.unpack_action(static_cast<int>(u))[f]);
      for (size_t next = 0; next < states; ++next) {
        const double* row = m.B[f].data.data() + own[next] * width;
        for (size_t s = 0; s < states; ++s)
          B.data[(next * states + s) * actions + u] *= row[parents[s] * controls + uf];
      }
    }
    for (size_t s = 0; s < states; ++s) D.data[s] *= m.D[f].data[own[s]];
  }
  j.B.push_back(std::move(B));
  j.D.push_back(std::move(D));
  for (const Policy& policy : m.policies) {
    Policy packed;
    for (const JointAction& action : policy) packed.push_back({m.pack_action(action)});
    j.policies.push_back(std::move(packed));
  }
  return j;
}

}  // namespace skep::belief
