#include "scenario/simulation.h"

#include <algorithm>
#include <cassert>
#include <optional>

#include "mind/belief/collective_state.h"
#include "mind/belief/population.h"
#include "scenario/agent_coalitions.h"
#include "scenario/minds.h"

namespace skep::scenario {
namespace {

// A population's place among all agents, and its minds unless it has none.
struct Group {
  size_t first = 0;
  size_t count = 0;
  int actions = 1;  // joint
  std::unique_ptr<belief::Population> minds;
  std::unique_ptr<belief::CollectiveState> collective;
  std::vector<uint16_t> observations;  // modalities per agent
};

}  // namespace

struct Simulation::Impl {
  Stage stage;
  Frame frame;
  std::unique_ptr<kernel::ThreadPool> pool;
  std::unique_ptr<World> world;
  Random random{0};
  size_t agents = 0;
  size_t modalities = 0;
  size_t hidden = 0;      // states of the last factor
  int hidden_factor = 0;  // its number
  std::vector<Group> groups;
  std::optional<AgentCoalitions> coalitions;
  std::vector<uint16_t> said, heard;
  std::vector<float> beliefs;  // about what is hidden, per agent
  std::vector<coalition::Position> positions;

  Status add_group(const PopulationConfig& config, uint64_t seed);
  Status think(Group& group);
  void note_beliefs();
  Status cooperate();
  void take_picture();
};

Simulation::Simulation(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Simulation::~Simulation() = default;
Simulation::Simulation(Simulation&&) noexcept = default;
Simulation& Simulation::operator=(Simulation&&) noexcept = default;
const Stage& Simulation::stage() const { return impl_->stage; }
const Frame& Simulation::frame() const { return impl_->frame; }

Result<Simulation> Simulation::create(const Scenario& scenario, uint64_t seed, int threads) {
  auto impl = std::make_unique<Impl>();
  impl->pool = kernel::ThreadPool::create(threads);
  impl->world = make_world(scenario.world);
  impl->stage = {scenario, seed, impl->world->hidden_names()};
  impl->random = Random(seed);
  for (const PopulationConfig& population : scenario.populations)
    SKEP_CHECK(impl->add_group(population, mix_bits(seed) + impl->groups.size()));
  impl->world->populate(impl->agents, impl->random);
  impl->hidden = impl->stage.hidden_names.size();
  impl->said.assign(impl->agents, 0);
  impl->heard.assign(impl->agents, 0);
  impl->positions.resize(impl->agents);
  impl->beliefs.assign(impl->agents * impl->hidden, 1.0F / static_cast<float>(impl->hidden));
  impl->frame.agents.resize(impl->agents);
  impl->frame.populations.resize(impl->groups.size());
  if (scenario.coalitions.form) {
    SKEP_TRY(auto coalitions, AgentCoalitions::create(scenario.coalitions, impl->hidden, impl->pool->threads(), seed));
    impl->coalitions.emplace(std::move(coalitions));
  }
  return Simulation(std::move(impl));
}

Status Simulation::Impl::add_group(const PopulationConfig& config, uint64_t seed) {
  Group group;
  group.first = agents;
  group.count = static_cast<size_t>(config.agents);
  agents += group.count;
  SKEP_TRY(belief::GenerativeModel model, world->model(config.mind == Mind::planning ? config.horizon : 1));
  group.actions = model.joint_actions();
  modalities = static_cast<size_t>(model.modalities());
  hidden_factor = model.factors() - 1;
  group.observations.resize(group.count * modalities);
  if (config.mind != Mind::random) {
    SKEP_TRY(group.minds, make_minds(config, std::move(model), seed, *pool));
    group.collective = std::make_unique<belief::CollectiveState>(*group.minds, 1);
  }
  groups.push_back(std::move(group));
  return {};
}

// All of a group's agents see, infer and choose; nobody has acted yet.
Status Simulation::Impl::think(Group& group) {
  for (size_t i = 0; i < group.count; ++i) {
    const auto row = std::span(group.observations).subspan(i * modalities, modalities);
    world->observe(group.first + i, random, row.first(modalities - 1));
    row.back() = heard[group.first + i];
  }
  if (!group.minds) {
    for (size_t i = 0; i < group.count; ++i)
      frame.agents[group.first + i].action = static_cast<int>(random.below(static_cast<uint32_t>(group.actions)));
    return {};
  }
  SKEP_CHECK(group.minds->step(group.observations));
  if (group.minds->options().learning) SKEP_CHECK(group.minds->learn(group.observations));
  group.collective->update();
  for (size_t i = 0; i < group.count; ++i) {
    frame.agents[group.first + i].action = group.minds->actions()[i];
    frame.agents[group.first + i].free_energy = group.minds->free_energy()[i];
  }
  return {};
}

void Simulation::Impl::note_beliefs() {
  std::vector<double> belief(hidden);
  for (const Group& group : groups) {
    if (!group.minds) continue;
    for (size_t i = 0; i < group.count; ++i) {
      group.minds->marginal(static_cast<uint32_t>(i), hidden_factor, belief);
      std::copy(belief.begin(), belief.end(),
                beliefs.begin() + static_cast<std::ptrdiff_t>((group.first + i) * hidden));
    }
  }
}

// Coalitions of those who are near now; what members saw before they acted is heard in the next step.
Status Simulation::Impl::cooperate() {
  for (size_t agent = 0; agent < agents; ++agent) positions[agent] = world->position(agent);
  if (!coalitions) return {};
  SKEP_CHECK(coalitions->update(positions, beliefs));
  if (stage.scenario.coalitions.share) coalitions->pass_on(said, random, heard);
  return {};
}

void Simulation::Impl::take_picture() {
  frame.marks = world->marks();
  frame.coalitions = coalitions ? coalitions->coalitions() : 0;
  frame.coalition_value = coalitions ? coalitions->value() : 0;
  for (size_t agent = 0; agent < agents; ++agent) {
    AgentFrame& picture = frame.agents[agent];
    picture.x = static_cast<float>(positions[agent].x);
    picture.y = static_cast<float>(positions[agent].y);
    picture.reward = static_cast<float>(world->reward(agent));
    picture.coalition = static_cast<uint32_t>(agent);
    if (coalitions) picture.coalition = coalitions->coalition_of(static_cast<uint32_t>(agent));
  }
  for (size_t g = 0; g < groups.size(); ++g) {
    const Group& group = groups[g];
    PopulationFrame& picture = frame.populations[g];
    picture = {};
    picture.coalition_size = 0;
    picture.hidden.assign(hidden, 0);
    for (size_t agent = group.first; agent < group.first + group.count; ++agent) {
      picture.reward += frame.agents[agent].reward;
      picture.coalition_size += coalitions ? coalitions->size_of(static_cast<uint32_t>(agent)) : 1;
      for (size_t state = 0; state < hidden; ++state) picture.hidden[state] += beliefs[agent * hidden + state];
    }
    const auto count = static_cast<double>(group.count);
    picture.reward /= count;
    picture.coalition_size /= count;
    for (float& share : picture.hidden) share /= static_cast<float>(count);
    if (!group.collective) continue;
    const belief::CollectiveSummary& summary = group.collective->whole();
    picture.free_energy = summary.free_energy;
    picture.entropy = summary.entropy;
    picture.agreement = summary.agreement;
    picture.activity = summary.activity;
  }
}

Status Simulation::step() {
  Impl& self = *impl_;
  for (Group& group : self.groups) SKEP_CHECK(self.think(group));
  for (size_t agent = 0; agent < self.agents; ++agent) self.said[agent] = self.world->says(agent);
  for (size_t agent = 0; agent < self.agents; ++agent)
    self.world->act(agent, self.frame.agents[agent].action, self.random);
  self.world->advance(self.random);
  self.note_beliefs();
  SKEP_CHECK(self.cooperate());
  ++self.frame.step;
  self.take_picture();
  return {};
}

}  // namespace skep::scenario
