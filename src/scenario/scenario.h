#pragma once
// A scenario: a world, the populations that live in it, their coalitions, and what to vary in sweeps. Read from YAML
// with errors that name the place; doc/sim.md lists every key.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace skep::scenario {

enum class WorldKind : uint8_t { foraging, sensors, patrol };
enum class Mind : uint8_t {
  planning,  // active inference over policies of `horizon` steps
  reactive,  // the same with policies of one step
  random,    // no mind: uniform actions, the floor of every comparison
};

// How beliefs lie (belief::RowStorage): compact in bytes, bfloat16 or f32, edge in bytes, sparse as pairs.
enum class BeliefPrecision : uint8_t { f32, f64, compact, edge, sparse };

struct WorldConfig {
  WorldKind kind = WorldKind::foraging;
  int width = 5;
  int height = 5;
  int patches = 3;          // foraging: places of which one is rich
  double change = 0.02;     // foraging: chance per step that another patch becomes the rich one
  double cue = 0.95;        // foraging: how often the sign is right
  int fronts = 2;           // sensors: storms that drift over the plane
  double radius = 2.5;      // sensors: of a storm
  double speed = 0.25;      // sensors, patrol: of storms per step; chance that the intruder moves
  double watch_cost = 0.5;  // sensors: of a step awake without an event, where an event seen is worth 2
};

struct PopulationConfig {
  std::string name;
  int agents = 20;
  Mind mind = Mind::planning;
  int horizon = 3;        // steps of a policy, planning only
  double gamma = 8;       // precision over policies
  bool curiosity = true;  // count information gain, not only utility
  bool sampled = true;    // actions are drawn; false: the most probable one
  BeliefPrecision precision = BeliefPrecision::f32;
  double tolerance = 0.01;    // compact: how far a packed row may be from what it holds, L1
  double prune = 1e-6;        // sparse: entries of at most this are dropped
  bool own = false;           // every agent has its own A and B
  bool own_bfloat16 = false;  // own: in half the memory, as belief::ModelStorage::bfloat16
  double learning = 0;        // rate at which it learns them; 0: not
  double confidence = 10;     // learning: observations that the first A and B count as
  // Agent i starts from row i, in turns: what it believes of the hidden part (its D), how likely it tends to each
  // action (its E). Each row sums to 1. Empty: the world's, and no habits.
  std::vector<std::vector<double>> start, habits;
};

struct CoalitionConfig {
  bool form = true;
  double cell = 1;  // side of a square cell; agents within a cell of each other may cooperate
  // H3's cells of this resolution instead of squares: the world lies on the earth, its north-west corner at the origin.
  std::optional<int> resolution;
  double latitude = 0, longitude = 0;  // of the origin, degrees
  double scale = 100;                  // metres of a step in the world
  double similarity = 0.8;             // synergy of two agents: this much for the same beliefs about what is hidden,
  double difference = 0.2;             //   this much for opposite ones
  double cost = 0.5;                   // factor of the coordination cost
  bool share = true;                   // members hear what others of their coalition have seen
};

struct SweepParameter {
  std::string key;                  // dotted path: "world.change", "populations.planners.horizon"
  std::vector<std::string> values;  // as they would stand in the file
};

struct Scenario {
  std::string name;
  std::string about;
  uint64_t seed = 1;
  int64_t steps = 200;
  WorldConfig world;
  std::vector<PopulationConfig> populations;
  CoalitionConfig coalitions;
  int seeds = 1;  // runs per combination in a sweep
  std::vector<SweepParameter> sweep;

  [[nodiscard]] int agents() const;
};

inline constexpr double metres_per_degree = 111'195;  // of latitude, on a sphere of H3's radius, 6,371 km

// A dotted path and its value, as on a command line.
using Override = std::pair<std::string, std::string>;

// `what` names the text in errors. Overrides stand for values in the file; an unknown path is refused.
Result<Scenario> parse_scenario(std::string_view text, std::string_view what,
                                const std::vector<Override>& overrides = {});
// The whole file as text, at most 1 MiB.
Result<std::string> read_scenario_file(const std::string& path);

const char* to_string(Mind mind);
const char* to_string(WorldKind kind);

}  // namespace skep::scenario
