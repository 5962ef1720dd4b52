#include "scenario/agent_coalitions.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>

namespace skep::scenario {
namespace {

constexpr float noticeable = 0.05F;    // total variation at which a belief counts as changed
constexpr double rebuild_share = 0.3;  // when more agents moved or changed, starting over is cheaper

float total_variation(const float* a, const float* b, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += std::abs(a[i] - b[i]);
  return sum / 2;
}

}  // namespace

// w = similarity (1 − TV) + difference TV, of the beliefs as they were when they last changed noticeably.
class AgentCoalitions::BeliefSynergy final : public coalition::PairSynergy {
 public:
  BeliefSynergy(const CoalitionConfig& config, size_t hidden)
      : alike_(static_cast<float>(config.similarity)), apart_(static_cast<float>(config.difference)), hidden_(hidden) {}

  void weigh(coalition::Agent agent, std::span<const coalition::Agent> with, std::span<float> out) const override {
    for (size_t i = 0; i < with.size(); ++i) {
      const float apart = total_variation(&beliefs[agent * hidden_], &beliefs[with[i] * hidden_], hidden_);
      out[i] = alike_ + (apart_ - alike_) * apart;
    }
  }

  std::vector<float> beliefs;

 private:
  float alike_, apart_;
  size_t hidden_;
};

Result<AgentCoalitions> AgentCoalitions::create(const CoalitionConfig& config, size_t hidden, int threads,
                                                uint64_t seed) {
  SKEP_TRY(const coalition::Grid grid,
           config.resolution ? coalition::Grid::earth(*config.resolution) : coalition::Grid::plane(config.cell));
  auto synergy = std::make_shared<BeliefSynergy>(config, hidden);
  return AgentCoalitions(coalition::Formation(grid, {synergy, nullptr, {.factor = config.cost, .exponent = 1.5}},
                                              {.threads = threads, .seed = seed}),
                         synergy, hidden, projection_of(config));
}

// Equirectangular about the origin: a world is small, and its rows run south.
AgentCoalitions::Projection AgentCoalitions::projection_of(const CoalitionConfig& config) {
  if (!config.resolution) return {};
  const double degrees = config.scale / metres_per_degree;
  return {{config.longitude, config.latitude},
          {degrees / std::cos(config.latitude * std::numbers::pi / 180), -degrees},
          true};
}

coalition::Position AgentCoalitions::Projection::operator()(coalition::Position at) const {
  const coalition::Position to{origin.x + at.x * unit.x, origin.y + at.y * unit.y};
  return earth ? coalition::Position{std::remainder(to.x, 360), to.y} : to;
}

Status AgentCoalitions::update(std::span<const coalition::Position> positions, std::span<const float> beliefs) {
  assert(beliefs.size() == positions.size() * hidden_);
  std::vector<coalition::Formation::Move> moves;
  std::vector<coalition::Agent> changed;
  const bool first = positions_.size() != positions.size();
  for (uint32_t agent = 0; agent < positions.size() && !first; ++agent) {
    const float* now = &beliefs[agent * hidden_];
    if (positions[agent].x != positions_[agent].x || positions[agent].y != positions_[agent].y)
      moves.push_back({agent, projection_(positions[agent])});
    if (total_variation(now, &synergy_->beliefs[agent * hidden_], hidden_) > noticeable) changed.push_back(agent);
  }
  const auto many = static_cast<size_t>(rebuild_share * static_cast<double>(positions.size()));
  positions_.assign(positions.begin(), positions.end());
  if (first || moves.size() + changed.size() > many) {
    synergy_->beliefs.assign(beliefs.begin(), beliefs.end());
    std::vector<coalition::Position> on_grid(positions.size());
    std::transform(positions.begin(), positions.end(), on_grid.begin(), projection_);
    SKEP_CHECK(formation_.rebuild(on_grid));
  } else {
    for (const coalition::Agent agent : changed)
      std::copy_n(&beliefs[agent * hidden_], hidden_, &synergy_->beliefs[agent * hidden_]);
    SKEP_CHECK(formation_.update(moves, changed));
  }
  count();
  return {};
}

void AgentCoalitions::count() {
  members_.clear();
  size_.assign(positions_.size(), 1);
  for (const uint32_t coalition : formation_.coalitions()) {
    auto members = formation_.members(coalition);
    if (members.size() < 2) continue;
    for (const uint32_t member : members) size_[member] = static_cast<uint32_t>(members.size());
    members_.push_back(std::move(members));
  }
  coalitions_ = static_cast<int>(members_.size());
}

void AgentCoalitions::pass_on(std::span<const uint16_t> said, Random& random, std::span<uint16_t> heard) const {
  std::fill(heard.begin(), heard.end(), uint16_t{0});
  std::vector<uint32_t> speakers;
  for (const auto& members : members_) {
    speakers.clear();
    for (const uint32_t member : members)
      if (said[member] != 0) speakers.push_back(member);
    if (speakers.empty()) continue;
    for (const uint32_t member : members) {
      const uint32_t speaker = speakers[random.below(static_cast<uint32_t>(speakers.size()))];
      if (speaker != member) heard[member] = said[speaker];
    }
  }
}

}  // namespace skep::scenario
