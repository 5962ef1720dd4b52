// Foraging: food lies at one of a few patches in the corners, and the rich one changes. A sign in the middle of the
// grid says which it is. Who plans goes to the sign first, or listens to the coalition; who reacts finds food by
// chance.

#include <array>
#include <cassert>

#include "scenario/grid_walk.h"
#include "scenario/world.h"

namespace skep::scenario {
namespace {

constexpr double food_at_rich = 0.9, food_elsewhere = 0.1;
constexpr double wants_food = 3;  // log preference
constexpr double heard = 0.2;     // how often agents expect to hear something

class Foraging final : public World {
 public:
  explicit Foraging(const WorldConfig& config) : config_(config), grid_{config.width, config.height} {
    const int right = config.width - 1, below = (config.height - 1) * config.width;
    const std::array<int, 4> corners{0, below + right, right, below};
    patches_.assign(corners.begin(), corners.begin() + config.patches);
    sign_ = config.height / 2 * config.width + config.width / 2;
  }

  Result<belief::GenerativeModel> model(int horizon) const override {
    const int places = grid_.places(), patches = config_.patches;
    belief::GenerativeModel m;
    m.name = "foraging";
    m.factor_names = {"place", "rich patch"};
    m.modality_names = {"place", "food", "sign", "message"};
    m.A_factors = {{0}, {0, 1}, {0, 1}, {1}};
    m.B_factors = {{0}, {1}};
    m.policy_length = horizon;

    belief::Tensor food({2, places, patches}), sign({patches + 1, places, patches}), message({patches + 1, patches});
    for (int rich = 0; rich < patches; ++rich) {
      for (int place = 0; place < places; ++place) {
        const double chance = chance_of_food(place, rich);
        food.at({1, place, rich}) = chance;
        food.at({0, place, rich}) = 1 - chance;
        if (place != sign_) sign.at({0, place, rich}) = 1;
        for (int says = 0; says < patches && place == sign_; ++says)
          sign.at({says + 1, place, rich}) = says == rich ? config_.cue : (1 - config_.cue) / (patches - 1);
      }
      message.at({0, rich}) = 1 - heard;
      for (int says = 0; says < patches; ++says)
        message.at({says + 1, rich}) = heard * (says == rich ? config_.cue : (1 - config_.cue) / (patches - 1));
    }
    m.A = {grid_.identity(), std::move(food), std::move(sign), std::move(message)};

    belief::Tensor stays({patches, patches, 1});
    for (int from = 0; from < patches; ++from)
      for (int to = 0; to < patches; ++to)
        stays.at({to, from, 0}) = to == from ? 1 - config_.change : config_.change / (patches - 1);
    m.B = {grid_.transitions(), std::move(stays)};
    m.C = {belief::Tensor({places}), belief::Tensor({2}, {0, wants_food}), belief::Tensor({patches + 1}),
           belief::Tensor({patches + 1})};
    return belief::complete(std::move(m));
  }

  void populate(size_t agents, Random& random) override {
    rich_ = static_cast<int>(random.below(static_cast<uint32_t>(config_.patches)));
    agents_.resize(agents);
    for (Forager& agent : agents_) agent.place = static_cast<int>(random.below(static_cast<uint32_t>(grid_.places())));
  }

  void observe(size_t agent, Random& random, std::span<uint16_t> out) override {
    Forager& self = agents_[agent];
    out[0] = static_cast<uint16_t>(self.place);
    out[1] = self.ate ? 1 : 0;
    out[2] = 0;
    if (self.place == sign_) {
      const auto patches = static_cast<uint32_t>(config_.patches);
      uint32_t says = static_cast<uint32_t>(rich_);
      if (random.uniform() >= config_.cue) says = (says + 1 + random.below(patches - 1)) % patches;
      out[2] = static_cast<uint16_t>(says + 1);
    }
    self.says = out[2];
  }

  uint16_t says(size_t agent) const override { return agents_[agent].says; }
  void act(size_t agent, int action, Random&) override {
    agents_[agent].place = grid_.after(agents_[agent].place, action);
  }

  void advance(Random& random) override {
    const auto patches = static_cast<uint32_t>(config_.patches);
    if (random.uniform() < config_.change)
      rich_ = static_cast<int>((static_cast<uint32_t>(rich_) + 1 + random.below(patches - 1)) % patches);
    for (Forager& agent : agents_) agent.ate = random.uniform() < chance_of_food(agent.place, rich_);
  }

  double reward(size_t agent) const override { return agents_[agent].ate ? 1 : 0; }
  coalition::Position position(size_t agent) const override {
    return {grid_.x(agents_[agent].place) + 0.5, grid_.y(agents_[agent].place) + 0.5};
  }
  std::vector<Mark> marks() const override {
    std::vector<Mark> marks{mark(sign_, '?', false)};
    for (int patch = 0; patch < config_.patches; ++patch)
      marks.push_back(mark(patches_[static_cast<size_t>(patch)], static_cast<char>('A' + patch), patch == rich_));
    return marks;
  }
  std::vector<std::string> hidden_names() const override {
    std::vector<std::string> names;
    for (int patch = 0; patch < config_.patches; ++patch)
      names.push_back(std::string("food at ") + static_cast<char>('A' + patch));
    return names;
  }

 private:
  struct Forager {
    int place = 0;
    bool ate = false;
    uint16_t says = 0;
  };

  double chance_of_food(int place, int rich) const {
    for (size_t patch = 0; patch < patches_.size(); ++patch)
      if (patches_[patch] == place) return static_cast<int>(patch) == rich ? food_at_rich : food_elsewhere;
    return 0;
  }
  Mark mark(int place, char symbol, bool strong) const {
    return {static_cast<float>(grid_.x(place)) + 0.5F, static_cast<float>(grid_.y(place)) + 0.5F, symbol, strong};
  }

  WorldConfig config_;
  GridWalk grid_;
  std::vector<int> patches_;
  int sign_ = 0;
  int rich_ = 0;
  std::vector<Forager> agents_;
};

}  // namespace

std::unique_ptr<World> make_foraging(const WorldConfig& config) { return std::make_unique<Foraging>(config); }

}  // namespace skep::scenario
