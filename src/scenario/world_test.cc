#include "scenario/world.h"

#include <gtest/gtest.h>

namespace skep::scenario {
namespace {

// Every world keeps the rules that the simulation relies on, and what it shows is what its own model expects to see.
class EveryWorld : public testing::TestWithParam<WorldKind> {
 protected:
  static WorldConfig config() {
    WorldConfig config;
    config.kind = GetParam();
    if (config.kind == WorldKind::sensors) config.width = config.height = 20;
    if (config.kind == WorldKind::patrol) config.width = config.height = 4;
    return config;
  }
};

TEST_P(EveryWorld, HasAModelWhoseLastPartsAreWhatIsHiddenAndWhatIsHeard) {
  const auto world = make_world(config());
  const auto model = world->model(2).value();
  EXPECT_TRUE(belief::validate(model));
  EXPECT_EQ(model.num_states.back(), static_cast<int>(world->hidden_names().size()));
  EXPECT_EQ(model.modality_names.back(), "message");
  EXPECT_EQ(model.A_factors.back(), std::vector<int>{model.factors() - 1});
  EXPECT_EQ(model.num_controls.back(), 1);
}

TEST_P(EveryWorld, ShowsOnlyWhatItsModelHoldsForPossible) {
  const auto world = make_world(config());
  const auto model = world->model(1).value();
  Random random(1);
  world->populate(30, random);
  std::vector<uint16_t> seen(static_cast<size_t>(model.modalities()));
  for (int step = 0; step < 200; ++step) {
    for (size_t agent = 0; agent < 30; ++agent) {
      world->observe(agent, random, std::span(seen).first(seen.size() - 1));
      for (size_t m = 0; m + 1 < seen.size(); ++m) ASSERT_LT(seen[m], model.num_obs[m]);
      ASSERT_LT(world->says(agent), model.num_obs.back());
      const auto at = world->position(agent);
      EXPECT_TRUE(at.x >= 0 && at.x <= config().width && at.y >= 0 && at.y <= config().height);
    }
    for (size_t agent = 0; agent < 30; ++agent)
      world->act(agent, static_cast<int>(random.below(static_cast<uint32_t>(model.joint_actions()))), random);
    world->advance(random);
  }
}

INSTANTIATE_TEST_SUITE_P(Worlds, EveryWorld,
                         testing::Values(WorldKind::foraging, WorldKind::sensors, WorldKind::patrol),
                         [](const auto& test) { return std::string(to_string(test.param)); });

}  // namespace
}  // namespace skep::scenario
