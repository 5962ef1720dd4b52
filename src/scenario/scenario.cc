#include "scenario/scenario.h"

#include <cmath>
#include <fstream>
#include <iterator>
#include <sstream>

#include "base/yaml.h"
#include "base/yaml_fields.h"

namespace skep::scenario {
namespace {

constexpr int most_agents = 100'000;
constexpr int most_populations = 8;
constexpr int most_cells = 64;  // of a grid that agents plan on: its states are squared in the model
constexpr int most_horizon = 6;
constexpr size_t most_parameters = 4, most_values = 64;
constexpr size_t most_rows = 1000, most_weights = 64;
constexpr Bytes most_text = 1_MiB;
constexpr double most_latitude = 85;  // nearer to a pole a step to the east would be many degrees

void read_world(YamlFields& fields, WorldConfig& world) {
  std::string kind = to_string(world.kind);
  fields.required().choice("kind", kind, {"foraging", "sensors", "patrol"});
  world.kind = kind == "sensors" ? WorldKind::sensors : kind == "patrol" ? WorldKind::patrol : WorldKind::foraging;
  if (world.kind == WorldKind::sensors) world.width = world.height = 20;
  if (world.kind == WorldKind::patrol) world.width = world.height = 4;
  const int most_side = world.kind == WorldKind::sensors ? 200 : 16;
  fields.integer("width", world.width, 3, most_side);
  fields.integer("height", world.height, 3, most_side);
  switch (world.kind) {  // keys of another world are unknown ones
    case WorldKind::foraging:
      fields.integer("patches", world.patches, 2, 4);
      fields.number("change", world.change, 0, 0.5);
      fields.number("cue", world.cue, 0.34, 1);
      break;
    case WorldKind::sensors:
      fields.integer("fronts", world.fronts, 1, 16);
      fields.number("radius", world.radius, 0.5, 50);
      fields.number("speed", world.speed, 0, 5);
      fields.number("watch_cost", world.watch_cost, 0, 10);
      break;
    case WorldKind::patrol:
      fields.number("speed", world.speed, 0, 1);
      break;
  }
}

// A list of lists of weights, each scaled to a sum of 1.
Status read_rows(const YamlNode& node, std::vector<std::vector<double>>& rows) {
  if (!node.is_list() || node.size() == 0 || node.size() > most_rows)
    return node.error(fmt::format("expected a list of 1 to {} rows", most_rows));
  for (size_t i = 0; i < node.size(); ++i) {
    const YamlNode row = node.at(i);
    if (!row.is_list() || row.size() == 0 || row.size() > most_weights)
      return row.error(fmt::format("expected a list of 1 to {} weights", most_weights));
    std::vector<double> weights;
    double sum = 0;
    for (size_t k = 0; k < row.size(); ++k) {
      SKEP_TRY(const double weight, row.at(k).number(0, 1e6));
      weights.push_back(weight);
      sum += weight;
    }
    if (!(sum > 0)) return row.error("all weights are 0");
    for (double& weight : weights) weight /= sum;
    rows.push_back(std::move(weights));
  }
  return {};
}

// What does not go together in one population.
Status check_population(const YamlNode& node, const PopulationConfig& population) {
  const auto place = [&](const char* key) { return node.find(key).value_or(node); };
  const bool packed = population.precision != BeliefPrecision::f32 && population.precision != BeliefPrecision::f64;
  if (population.learning > 0 && !population.own)
    return place("learning").error("agents that learn have their own model", "add own: true");
  if (population.own_bfloat16 && (!population.own || population.precision != BeliefPrecision::f32))
    return place("own_storage").error("bfloat16 is for own models of float32 agents", "add own: true, or take full");
  if (population.own && packed)
    return place("precision")
        .error("an own model is far larger than any belief: only full ones go with it",
               "float32 or float64, or a shared model");
  const bool thinks = population.mind != Mind::random;
  for (const char* key : {"start", "habits", "own"}) {
    if (!thinks && node.find(key)) return place(key).error("a random population has no mind");
  }
  return {};
}

BeliefPrecision precision_of(const std::string& name) {
  if (name == "compact") return BeliefPrecision::compact;
  if (name == "edge") return BeliefPrecision::edge;
  if (name == "sparse") return BeliefPrecision::sparse;
  return name == "float64" ? BeliefPrecision::f64 : BeliefPrecision::f32;
}

Result<PopulationConfig> read_population(const YamlNode& node) {
  PopulationConfig population;
  population.name = node.key();
  std::string mind = to_string(population.mind), actions = "sampled", precision = "float32";
  std::string own_storage = "full";
  YamlFields fields(node);
  fields.integer("agents", population.agents, 1, most_agents);
  fields.choice("mind", mind, {"planning", "reactive", "random"});
  fields.integer("horizon", population.horizon, 1, most_horizon);
  fields.number("gamma", population.gamma, 0.01, 1000);
  fields.boolean("curiosity", population.curiosity);
  fields.choice("actions", actions, {"sampled", "deterministic"});
  fields.choice("precision", precision, {"float32", "float64", "compact", "edge", "sparse"});
  fields.number("tolerance", population.tolerance, 0, 0.5);
  fields.number("prune", population.prune, 0, 0.009);
  fields.boolean("own", population.own);
  fields.choice("own_storage", own_storage, {"full", "bfloat16"});
  fields.number("learning", population.learning, 0, 1000);
  fields.number("confidence", population.confidence, 1e-3, 1e6);
  const auto rows = [&fields](const char* key, std::vector<std::vector<double>>& out) {
    const auto value = fields.take(key);
    if (!value) return;
    if (const Status status = read_rows(*value, out); !status) fields.refuse(status.error());
  };
  rows("start", population.start);
  rows("habits", population.habits);
  SKEP_CHECK(fields.finish());
  population.mind = mind == "random" ? Mind::random : mind == "reactive" ? Mind::reactive : Mind::planning;
  population.sampled = actions == "sampled";
  population.precision = precision_of(precision);
  population.own_bfloat16 = own_storage == "bfloat16";
  SKEP_CHECK(check_population(node, population));
  return population;
}

Status read_sweep(const YamlNode& node, Scenario& scenario) {
  YamlFields fields(node);
  fields.integer("seeds", scenario.seeds, 1, 10'000);
  fields.entries("vary", most_parameters, [&](const YamlNode& values) -> Status {
    SweepParameter parameter{values.key(), {}};
    if (!values.is_list() || values.size() == 0 || values.size() > most_values)
      return values.error(fmt::format("expected a list of 1 to {} values", most_values));
    for (size_t i = 0; i < values.size(); ++i) {
      SKEP_TRY(std::string value, values.at(i).text());
      parameter.values.push_back(std::move(value));
    }
    scenario.sweep.push_back(std::move(parameter));
    return {};
  });
  return fields.finish();
}

void read_coalitions(YamlFields& fields, CoalitionConfig& config) {
  fields.boolean("form", config.form);
  fields.number("cell", config.cell, 0.1, 1000);
  fields.integer("resolution", config.resolution, 0, 15);
  fields.section("origin", [&config](YamlFields& origin) {
    origin.number("latitude", config.latitude, -most_latitude, most_latitude);
    origin.number("longitude", config.longitude, -180, 180);
  });
  fields.number("scale", config.scale, 0.1, 100'000);
  fields.number("similarity", config.similarity, -10, 10);
  fields.number("difference", config.difference, -10, 10);
  fields.number("cost", config.cost, 0, 100);
  fields.boolean("share", config.share);
}

// Keys of the grid that was not chosen, and a world that would reach over a pole.
Status check_grid(const YamlNode& coalitions, const Scenario& scenario) {
  const CoalitionConfig& config = scenario.coalitions;
  if (!config.resolution) {
    for (const char* key : {"origin", "scale"})
      if (const auto node = coalitions.find(key))
        return node->error(fmt::format("{} is for cells on the earth", key), "give a resolution, too");
    return {};
  }
  if (const auto node = coalitions.find("cell"))
    return node->error("cell is the side of a square, and H3's cells have a resolution", "leave one of the two away");
  const double south = config.latitude - scenario.world.height * config.scale / metres_per_degree;
  if (south < -most_latitude)
    return coalitions.error(fmt::format("the world would reach to latitude {:.1f}, beyond {}", south, -most_latitude),
                            "a smaller scale, or an origin further north");
  return {};
}

Status check(const YamlNode& root, const Scenario& scenario) {
  const WorldConfig& world = scenario.world;
  const auto place = [&](const char* key) { return root.find(key).value_or(root); };
  if (world.kind != WorldKind::sensors && world.width * world.height > most_cells)
    return place("world").error(fmt::format("{} × {} cells are more than {}", world.width, world.height, most_cells),
                                "agents plan over every cell; take a smaller grid");
  if (world.kind == WorldKind::patrol && world.width * world.height > 25)
    return place("world").error("a patrol's grid has at most 25 cells", "its model has their square of states");
  if (const auto coalitions = root.find("coalitions")) SKEP_CHECK(check_grid(*coalitions, scenario));
  if (scenario.populations.empty()) return place("populations").error("at least one population is needed");
  if (scenario.agents() > most_agents)
    return place("populations").error(fmt::format("{} agents are more than {}", scenario.agents(), most_agents));
  return {};
}

}  // namespace

int Scenario::agents() const {
  int sum = 0;
  for (const PopulationConfig& population : populations) sum += population.agents;
  return sum;
}

Result<Scenario> parse_scenario(std::string_view text, std::string_view what, const std::vector<Override>& overrides) {
  SKEP_TRY(YamlDocument document, parse_yaml(text, what, {.size = most_text}));
  for (const auto& [path, value] : overrides) SKEP_CHECK(document.set(path, value, fmt::format("{}={}", path, value)));
  Scenario scenario;
  int64_t seed = 1;
  YamlFields fields(document.root());
  fields.required().text("name", scenario.name, 100);
  fields.text("about", scenario.about);
  fields.integer("seed", seed, 0, INT64_MAX);
  fields.integer("steps", scenario.steps, 1, 10'000'000);
  fields.required().section("world", [&](YamlFields& world) { read_world(world, scenario.world); });
  fields.required().entries("populations", most_populations, [&](const YamlNode& node) -> Status {
    SKEP_TRY(PopulationConfig population, read_population(node));
    scenario.populations.push_back(std::move(population));
    return {};
  });
  fields.section("coalitions", [&](YamlFields& section) { read_coalitions(section, scenario.coalitions); });
  if (const auto sweep = fields.take("sweep"))
    if (const Status status = read_sweep(*sweep, scenario); !status) fields.refuse(status.error());
  SKEP_CHECK(fields.finish());
  SKEP_CHECK(check(document.root(), scenario));
  scenario.seed = static_cast<uint64_t>(seed);
  return scenario;
}

Result<std::string> read_scenario_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(ErrorCode::not_found, fmt::format("{}: cannot be opened", path));
  std::string text(static_cast<size_t>(most_text.count) + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return fail(ErrorCode::io, fmt::format("{}: cannot be read", path));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > static_cast<size_t>(most_text.count))
    return fail(ErrorCode::too_large, fmt::format("{}: more than {}", path, to_string(most_text)));
  return text;
}

const char* to_string(Mind mind) {
  switch (mind) {
    case Mind::planning:
      return "planning";
    case Mind::reactive:
      return "reactive";
    case Mind::random:
      return "random";
  }
  return "";
}

const char* to_string(WorldKind kind) {
  switch (kind) {
    case WorldKind::foraging:
      return "foraging";
    case WorldKind::sensors:
      return "sensors";
    case WorldKind::patrol:
      return "patrol";
  }
  return "";
}

}  // namespace skep::scenario
