#include "scenario/simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "scenario/agent_coalitions.h"
#include "scenario/history.h"
#include "scenario/plot.h"
#include "scenario/recording.h"
#include "scenario/resumption.h"
#include "scenario/sweep.h"
#include "scenario/table.h"
#include "scenario/view.h"

namespace skep::scenario {
namespace {

constexpr const char* small = R"(name: small
steps: 25
world: {kind: foraging, width: 4, height: 4, patches: 2}
populations:
  planners: {agents: 12, mind: planning, horizon: 3}
  others: {agents: 5, mind: random}
)";

std::vector<std::string> frames(const std::string& text, uint64_t seed, int threads) {
  Simulation simulation = Simulation::create(parse_scenario(text, "s.yaml").value(), seed, threads).value();
  std::vector<std::string> lines;
  for (int64_t step = 0; step < simulation.stage().scenario.steps; ++step) {
    EXPECT_TRUE(simulation.step());
    lines.push_back(write_frame(simulation.frame()));
  }
  return lines;
}

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("skep_scenario_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Simulation, TheSameSeedGivesTheSameFramesWhateverTheThreads) {
  for (const char* world :
       {"{kind: foraging, width: 4, height: 4}", "{kind: sensors}", "{kind: patrol, width: 3, height: 3}"}) {
    const std::string text =
        fmt::format("name: x\nsteps: 15\nworld: {}\npopulations: {{a: {{agents: 40, horizon: 2}}}}\n", world);
    EXPECT_EQ(frames(text, 7, 1), frames(text, 7, 3)) << world;
    EXPECT_NE(frames(text, 7, 1), frames(text, 8, 1)) << world;
  }
}

// Packed rows are other numbers, but the same behaviour on the whole; without tolerance they are the same numbers.
TEST(Simulation, BeliefsMayLieInFewerOrMoreBytes) {
  const auto with = [](const std::string& precision) {
    return fmt::format(
        "name: x\nsteps: 30\nworld: {{kind: foraging, width: 4, height: 4}}\n"
        "populations: {{a: {{agents: 30, horizon: 2, {}}}}}\n",
        precision);
  };
  const auto plain = frames(with("precision: float32"), 7, 1);
  EXPECT_EQ(frames(with("precision: compact, tolerance: 0"), 7, 1), plain);
  const auto packed = frames(with("precision: compact, tolerance: 0.05"), 7, 1);
  EXPECT_NE(packed, plain);
  EXPECT_EQ(frames(with("precision: compact, tolerance: 0.05"), 7, 3), packed);
  const auto reward = [&](const std::string& precision) {
    const auto cells = run_sweep(with(precision), "x.yaml", {.seeds = 4, .threads = 2}).value();
    double sum = 0;
    for (const auto& run : cells[0].means) sum += run[0].reward / 4;
    return sum;
  };
  EXPECT_NEAR(reward("precision: compact, tolerance: 0.01"), reward("precision: float64"), 0.1);
  EXPECT_FALSE(parse_scenario(with("precision: float16"), "x.yaml"));
}

std::string world_with(const char* world, const std::string& population) {
  return fmt::format("name: x\nsteps: 30\nworld: {}\npopulations: {{a: {{agents: 30, horizon: 2, {}}}}}\n", world,
                     population);
}

constexpr const char* foraging_of_16 = "{kind: foraging, width: 4, height: 4}";

// The bound itself is held in mind/belief/population_test; here, that a world lives with such rows, and how.
TEST(Simulation, BeliefsMayBeSparseOrOfEdgeAgents) {
  const auto plain = frames(world_with(foraging_of_16, "precision: float32"), 7, 1);
  EXPECT_EQ(frames(world_with(foraging_of_16, "precision: sparse, prune: 0"), 7, 1), plain);
  const auto pruned = frames(world_with(foraging_of_16, "precision: sparse, prune: 0.001"), 7, 1);
  EXPECT_NE(pruned, plain);
  EXPECT_EQ(frames(world_with(foraging_of_16, "precision: sparse, prune: 0.001"), 7, 3), pruned);

  const char* sensors = "{kind: sensors}";
  const auto edge = frames(world_with(sensors, "precision: edge"), 7, 1);
  EXPECT_NE(edge, frames(world_with(sensors, "precision: float32"), 7, 1));
  EXPECT_EQ(frames(world_with(sensors, "precision: edge"), 7, 3), edge);
  const auto mean = [&](const std::string& precision, auto quantity) {
    const auto cells = run_sweep(world_with(sensors, precision), "x.yaml", {.seeds = 4, .threads = 2}).value();
    double sum = 0;
    for (const auto& run : cells[0].means) sum += quantity(run[0]) / 4;
    return sum;
  };
  const auto free_energy = [](const auto& run) { return run.free_energy; };
  EXPECT_NEAR(mean("precision: edge", free_energy), mean("precision: float64", free_energy), 0.05);

  const auto refused =
      Simulation::create(parse_scenario(world_with(foraging_of_16, "precision: edge"), "x.yaml").value(), 7, 1);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("populations.a: edge"), std::string::npos) << refused.error().text();
}

TEST(Simulation, AgentsMayHaveTheirOwnModels) {
  const auto run = [&](const std::string& population) {
    Simulation simulation =
        Simulation::create(parse_scenario(world_with(foraging_of_16, population), "x.yaml").value(), 7, 2).value();
    for (int step = 0; step < 30; ++step) EXPECT_TRUE(simulation.step());
    return simulation.frame();
  };
  // A model of one's own that is the world's gives the world's beliefs, but for rounding.
  const Frame shared = run("precision: float64, actions: deterministic");
  const Frame own = run("precision: float64, actions: deterministic, own: true");
  for (size_t i = 0; i < shared.agents.size(); ++i) {
    EXPECT_NEAR(own.agents[i].free_energy, shared.agents[i].free_energy, 1e-5) << i;
    EXPECT_EQ(own.agents[i].action, shared.agents[i].action) << i;
  }
  const Frame learning = run("precision: float64, actions: deterministic, own: true, learning: 1, confidence: 2");
  double change = 0;
  for (size_t i = 0; i < shared.agents.size(); ++i)
    change += static_cast<double>(std::abs(learning.agents[i].free_energy - shared.agents[i].free_energy));
  EXPECT_GT(change, 0.1) << "nobody learnt anything";
}

TEST(Simulation, AgentsMayStartAndTendEachInTheirOwnWay) {
  const char* sensors = "{kind: sensors, fronts: 1}";
  const auto first_step = [&](const std::string& population) {
    Simulation simulation =
        Simulation::create(parse_scenario(world_with(sensors, population), "x.yaml").value(), 7, 2).value();
    EXPECT_TRUE(simulation.step());
    return simulation.frame();
  };
  const Frame shared = first_step("gamma: 0.5, actions: deterministic");
  const Frame sure = first_step("gamma: 0.5, actions: deterministic, start: [[1, 0, 0], [0, 0, 1]]");
  EXPECT_GT(sure.populations[0].hidden[0], 0.45F) << "half of them began certain of calm";
  EXPECT_LT(sure.populations[0].agreement, shared.populations[0].agreement);
  const Frame habits = first_step("gamma: 0.01, actions: deterministic, habits: [[1, 0], [0, 1]]");
  for (size_t i = 0; i < habits.agents.size(); ++i)
    EXPECT_EQ(habits.agents[i].action, static_cast<int>(i % 2)) << "asleep and awake in turns";
  const auto wrong =
      Simulation::create(parse_scenario(world_with(sensors, "habits: [[1, 1, 1]]"), "x.yaml").value(), 7, 1);
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("habits: a row of 3, but this world has 2 actions"), std::string::npos);
}

TEST(Simulation, PlanningBeatsReactingWhereKnowingHasToBeFetched) {
  const auto cells = run_sweep(R"(name: x
steps: 60
world: {kind: foraging, width: 5, height: 5, patches: 3}
populations:
  planning: {agents: 10, mind: planning, horizon: 4}
  reactive: {agents: 10, mind: reactive}
coalitions: {share: false}
)",
                               "x.yaml", {.seeds = 6, .threads = 2})
                         .value();
  const Comparison versus = compare(cells.at(0)).at(0);
  EXPECT_EQ(versus.wins, 6);
  EXPECT_GT(versus.difference.mean - versus.difference.margin, 0.05);
}

TEST(Coalitions, MatesHearWhatOneOfThemSaysAndOthersDoNot) {
  CoalitionConfig config;
  config.cost = 0.1;
  AgentCoalitions coalitions = AgentCoalitions::create(config, 2, 1, 1).value();
  const std::vector<coalition::Position> at{{0.1, 0.1}, {0.2, 0.2}, {0.3, 0.1}, {9, 9}};
  const std::vector<float> beliefs(8, 0.5F);
  ASSERT_TRUE(coalitions.update(at, beliefs));
  EXPECT_EQ(coalitions.coalition_of(0), coalitions.coalition_of(2));
  EXPECT_EQ(coalitions.size_of(3), 1U);
  std::vector<uint16_t> heard(4, 9);
  Random random(1);
  coalitions.pass_on(std::vector<uint16_t>{5, 0, 0, 3}, random, heard);
  EXPECT_EQ(heard, (std::vector<uint16_t>{0, 5, 5, 0}));
}

// H3's cells of resolution 9 are about 300 m across.
TEST(Coalitions, OnTheEarthAreOfThoseWhoseCellsTouch) {
  CoalitionConfig config;
  config.resolution = 9;
  config.cost = 0.1;
  const std::vector<coalition::Position> at{{0, 0}, {1, 0}, {1, 1}, {9, 9}};
  const std::vector<float> beliefs(8, 0.5F);
  struct Case {
    double latitude, longitude, scale;
    bool together;
  };
  for (const Case& c : {Case{52.52, 13.4, 100, true}, Case{52.52, 13.4, 2000, false},
                        // Over the antimeridian: a step to the east leads from 179.9995 to beyond -180.
                        Case{0, 179.9995, 100, true}, Case{-60, 179.9995, 100, true}, Case{80, 0, 100, true}}) {
    config.latitude = c.latitude;
    config.longitude = c.longitude;
    config.scale = c.scale;
    AgentCoalitions coalitions = AgentCoalitions::create(config, 2, 1, 1).value();
    ASSERT_TRUE(coalitions.update(at, beliefs));
    EXPECT_EQ(coalitions.coalition_of(0) == coalitions.coalition_of(1), c.together) << c.longitude;
    EXPECT_EQ(coalitions.coalition_of(0) == coalitions.coalition_of(2), c.together) << c.longitude;
    EXPECT_EQ(coalitions.size_of(3), 1U);
    auto moved = at;  // the far one joins them, by the incremental way
    moved[3] = {0, 1};
    ASSERT_TRUE(coalitions.update(moved, beliefs));
    EXPECT_EQ(coalitions.size_of(3), c.together ? 4U : 1U) << c.longitude;
  }
}

TEST(Simulation, OnTheEarthFormsCoalitionsToo) {
  const std::string text =
      std::string(small) +
      "coalitions: {resolution: 8, origin: {latitude: 1.3, longitude: 103.8}, scale: 200, cost: 0.1}\n";
  EXPECT_EQ(frames(text, 3, 1), frames(text, 3, 2));
  Simulation simulation = Simulation::create(parse_scenario(text, "s.yaml").value(), 3, 1).value();
  ASSERT_TRUE(simulation.step());
  EXPECT_GT(simulation.frame().coalitions, 0);
}

TEST(Recording, IsReadBackExactlyAndTellsForeignFilesApart) {
  const Folder folder;
  const Scenario scenario = parse_scenario(small, "s.yaml", {{"steps", "9"}}).value();
  Simulation simulation = Simulation::create(scenario, UINT64_MAX - 3, 1).value();
  std::vector<std::string> written;
  {
    RecordingWriter writer =
        RecordingWriter::create(folder.file("run.jsonl"), {small, {{"steps", "9"}}, UINT64_MAX - 3}).value();
    for (int i = 0; i < 9; ++i) {
      ASSERT_TRUE(simulation.step());
      written.push_back(write_frame(simulation.frame()));
      ASSERT_TRUE(writer.write(simulation.frame()));
    }
    ASSERT_TRUE(writer.finish());
  }
  RecordingReader reader = RecordingReader::open(folder.file("run.jsonl")).value();
  EXPECT_EQ(reader.stage().seed, UINT64_MAX - 3);
  EXPECT_EQ(reader.stage().scenario.steps, 9);
  for (const std::string& expected : written) {
    const std::string line = reader.next_line().value();
    EXPECT_EQ(write_frame(read_frame(line, reader.stage(), reader.place()).value()), expected);
  }
  EXPECT_EQ(reader.next_line().value(), "");

  std::ofstream(folder.file("other.jsonl")) << "{\"a\": 1}\n";
  EXPECT_FALSE(RecordingReader::open(folder.file("other.jsonl")));
  std::ofstream(folder.file("newer.jsonl")) << R"({"skep_recording":99,"seed":1,"scenario":""})"
                                            << "\n";
  EXPECT_EQ(RecordingReader::open(folder.file("newer.jsonl")).error().code, ErrorCode::unsupported);
}

TEST(Recording, RefusesFramesOfAnotherScenarioAndEndsBeforeATornLine) {
  const Folder folder;
  const Stage stage{parse_scenario(small, "s.yaml").value(), 1, {"food at A", "food at B"}};
  for (const char* bad :
       {"{}", "[1]", R"({"step":1,"coalitions":[0,0],"populations":[],"marks":[],"agents":[]})", "{\"step\":"})
    EXPECT_FALSE(read_frame(bad, stage, "f:2")) << bad;
  std::ofstream(folder.file("torn.jsonl"))
      << R"({"skep_recording":1,"seed":1,"scenario":"name: x\nworld: {kind: patrol}\npopulations: {a: {}}\n"})"
      << "\n{\"step\":1,\"coal";
  RecordingReader reader = RecordingReader::open(folder.file("torn.jsonl")).value();
  EXPECT_EQ(reader.next_line().value(), "");
}

TEST(Tables, HaveOneRowPerStepAndPopulation) {
  const Folder folder;
  Simulation simulation = Simulation::create(parse_scenario(small, "s.yaml").value(), 1, 1).value();
  TableWriter csv = TableWriter::create(folder.file("t.csv")).value(),
              jsonl = TableWriter::create(folder.file("t.jsonl")).value();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(simulation.step());
    ASSERT_TRUE(csv.write(simulation.stage(), simulation.frame()));
    ASSERT_TRUE(jsonl.write(simulation.stage(), simulation.frame()));
  }
  ASSERT_TRUE(csv.finish());
  ASSERT_TRUE(jsonl.finish());
  const std::string rows = text_of(folder.file("t.csv")), lines = text_of(folder.file("t.jsonl"));
  EXPECT_EQ(std::count(rows.begin(), rows.end(), '\n'), 7);
  EXPECT_THAT(rows, testing::StartsWith("seed,step,population,agents,reward,"));
  EXPECT_THAT(rows, testing::HasSubstr("1,3,planners,12,"));
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 6);
  EXPECT_FALSE(TableWriter::create(folder.file("t.xls")));
}

// Seeds beyond 2^53 are no doubles.
TEST(Recording, KeepsEverySeedExactly) {
  const Folder folder;
  for (const uint64_t seed : {uint64_t{0}, (uint64_t{1} << 53) + 1, uint64_t{INT64_MAX}, uint64_t{1} << 63}) {
    ASSERT_TRUE(RecordingWriter::create(folder.file("seed.jsonl"), {small, {}, seed}).value().finish());
    EXPECT_EQ(RecordingReader::open(folder.file("seed.jsonl")).value().stage().seed, seed);
  }
  for (const char* seed : {"-1", "1.5", "\"1\""}) {
    std::ofstream(folder.file("bad.jsonl")) << R"({"skep_recording":1,"scenario":"","seed":)" << seed << "}\n";
    EXPECT_EQ(RecordingReader::open(folder.file("bad.jsonl")).error().code, ErrorCode::corrupt) << seed;
  }
}

TEST(Tables, OfASweepFollowTheirNamesAndQuoteTheirTexts) {
  const Folder folder;
  const SweepCell cell{{{"about", "a, \"b\""}, {"world.change", "0.5"}},
                       {"x,y"},
                       {{{.reward = 1.5, .free_energy = 2, .entropy = 0.25, .coalition_size = 3}}},
                       9};
  ASSERT_TRUE(write_sweep_table(folder.file("s.csv"), {cell}, 7));
  EXPECT_EQ(text_of(folder.file("s.csv")),
            "about,world.change,seed,population,reward,free_energy,entropy,coalition_size\n"
            "\"a, \"\"b\"\"\",0.5,7,\"x,y\",1.5,2,0.25,3\n");
  ASSERT_TRUE(write_sweep_table(folder.file("s.jsonl"), {cell}, 7));
  EXPECT_EQ(text_of(folder.file("s.jsonl")),
            R"({"values":{"about":"a, \"b\"","world.change":5E-1},"seed":7,"population":"x,y","reward":1.5E0,)"
            R"("free_energy":2E0,"entropy":2.5E-1,"coalition_size":3E0})"
            "\n");
  EXPECT_EQ(write_sweep_table(folder.file("s.txt"), {cell}, 7).error().code, ErrorCode::invalid_argument);
  EXPECT_FALSE(write_sweep_table(folder.file("no/such/folder.csv"), {cell}, 7));
}

TEST(Resumption, ContinuesARunThatWasCutOffAsIfNothingHadHappened) {
  const Folder folder;
  const RecordingHeader header{small, {{"steps", "9"}}, 5};
  const Scenario scenario = parse_scenario(small, "s.yaml", header.overrides).value();
  Simulation simulation = Simulation::create(scenario, 5, 1).value();
  RecordingWriter writer = RecordingWriter::create(folder.file("whole.jsonl"), header).value();
  for (int i = 0; i < 9; ++i) {
    ASSERT_TRUE(simulation.step());
    ASSERT_TRUE(writer.write(simulation.frame()));
  }
  ASSERT_TRUE(writer.finish());
  const std::string whole = text_of(folder.file("whole.jsonl"));
  for (const size_t cut : {whole.find('\n') + 1, whole.size() / 2, whole.size() - 1}) {
    std::ofstream(folder.file("cut.jsonl"), std::ios::binary) << whole.substr(0, cut);
    Resumption run = Resumption::open(folder.file("cut.jsonl"), std::nullopt, 2).value();
    int64_t frames = 0;
    for (const Frame* frame = run.next().value(); frame != nullptr; frame = run.next().value())
      EXPECT_EQ(frame->step, ++frames);
    ASSERT_TRUE(run.finish());
    EXPECT_EQ(frames, 9);
    EXPECT_LT(run.recorded(), 9);
    EXPECT_EQ(text_of(folder.file("cut.jsonl")), whole) << cut;
  }
  Resumption more = Resumption::open(folder.file("cut.jsonl"), 11, 1).value();
  int frames = 0;
  while (more.next().value() != nullptr) ++frames;
  EXPECT_EQ(frames, 11);
  EXPECT_EQ(more.recorded(), 9);
}

TEST(Resumption, AppendsNothingToARunThatItCannotReproduce) {
  const Folder folder;
  Simulation other = Simulation::create(parse_scenario(small, "s.yaml").value(), 6, 1).value();
  RecordingWriter writer = RecordingWriter::create(folder.file("r.jsonl"), {small, {}, 5}).value();
  ASSERT_TRUE(other.step());
  ASSERT_TRUE(writer.write(other.frame()));
  ASSERT_TRUE(writer.finish());
  const std::string before = text_of(folder.file("r.jsonl"));
  Resumption run = Resumption::open(folder.file("r.jsonl"), 20, 1).value();
  EXPECT_EQ(run.next().error().code, ErrorCode::corrupt);
  EXPECT_EQ(text_of(folder.file("r.jsonl")), before);
}

TEST(Sweep, RunsEveryCombinationAndDoesNotDependOnTheThreads) {
  const std::string text =
      std::string(small) + "sweep:\n  vary:\n    world.change: [0.01, 0.3]\n    coalitions.share: [true, false]\n";
  const auto one = run_sweep(text, "s.yaml", {.seeds = 2, .threads = 1}).value();
  const auto two = run_sweep(text, "s.yaml", {.seeds = 2, .threads = 2}).value();
  ASSERT_EQ(one.size(), 4U);
  EXPECT_EQ(one[1].values, (std::vector<Override>{{"world.change", "0.01"}, {"coalitions.share", "false"}}));
  for (size_t i = 0; i < one.size(); ++i)
    for (size_t seed = 0; seed < 2; ++seed) EXPECT_EQ(one[i].means[seed][0].reward, two[i].means[seed][0].reward);
  EXPECT_FALSE(run_sweep(std::string(small) + "sweep: {vary: {world.nothing: [1]}}\n", "s.yaml", {}));
  const std::atomic<bool> cancelled{true};
  EXPECT_EQ(run_sweep(text, "s.yaml", {.cancelled = &cancelled}).error().code, ErrorCode::cancelled);
}

TEST(Sweep, ConfidenceIntervalsAreStudents) {
  const Estimate estimated = estimate({1, 2, 3, 4});
  EXPECT_DOUBLE_EQ(estimated.mean, 2.5);
  EXPECT_NEAR(estimated.margin, 3.182 * std::sqrt(5.0 / 3 / 4), 1e-9);
  EXPECT_EQ(estimate({2}).margin, 0);
}

TEST(History, KeepsTheMeansInBoundedMemory) {
  History history(1);
  Frame frame;
  frame.populations.resize(1);
  constexpr int steps = 100'000;
  for (int i = 0; i < steps; ++i) {
    frame.populations[0].reward = i;
    history.add(frame);
  }
  EXPECT_LE(history.curve(0).size(), History::most_bins);
  EXPECT_GE(history.curve(0).size(), History::most_bins / 2 - 1);
  EXPECT_NEAR(history.mean(0).reward, (steps - 1) / 2.0, 1e-6);
  EXPECT_NEAR(history.curve(0)[1].reward, 1.5 * static_cast<double>(history.steps_per_bin()) - 0.5, 1e-6);
}

// Columns that a line takes on a terminal: bytes that continue a character and colours take none.
int columns_of(const std::string& line) {
  int columns = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\033') {
      i = line.find('m', i);
      continue;
    }
    columns += (static_cast<unsigned char>(line[i]) & 0xc0) != 0x80 ? 1 : 0;
  }
  return columns;
}

TEST(View, FitsEveryTerminal) {
  Simulation simulation = Simulation::create(parse_scenario(small, "s.yaml").value(), 1, 1).value();
  History history(2);
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(simulation.step());
    history.add(simulation.frame());
  }
  for (const auto& [columns, rows] : {std::pair(80, 24), std::pair(200, 50), std::pair(40, 12), std::pair(20, 3)})
    for (const bool colours : {true, false}) {
      const auto lines = compose_view(simulation.stage(), simulation.frame(), history, {columns, rows, colours});
      EXPECT_LE(lines.size(), static_cast<size_t>(rows));
      for (const std::string& line : lines) {
        EXPECT_LE(columns_of(line), columns);
        if (!colours) {
          EXPECT_EQ(line.find('\033'), std::string::npos);
        }
      }
    }
}

// Beside each other on a wide terminal, below each other on a narrow one.
TEST(View, ShowsMapBeliefsFreeEnergyOverTimeAndCoalitions) {
  const Stage stage{parse_scenario(small, "s.yaml").value(), 7, {"food at A", "food at B"}};
  Frame frame;
  frame.coalitions = 1;
  frame.coalition_value = 2.5;
  frame.agents.resize(17);
  for (uint32_t i = 0; i < 17; ++i) {
    frame.agents[i] = {.x = 3.5F, .y = 3.5F, .coalition = i};
    if (i < 3) frame.agents[i] = {.x = 1.5F, .y = 0.5F, .coalition = 1};
  }
  frame.marks = {{1.5F, 0.5F, 'G', true}, {0.5F, 3.5F, 'F', false}};
  PopulationFrame planners;
  planners.hidden = {0.75F, 0.25F};
  planners.agreement = 0.5;
  planners.activity = 0.25;
  frame.populations = {planners, PopulationFrame{}};
  History history(2);
  for (int i = 0; i < 8; ++i) {  // a free energy that rises
    frame.step = i + 1;
    frame.populations[0].free_energy = i * 0.25;
    history.add(frame);
  }
  for (const auto& [columns, rows] : {std::pair(120, 40), std::pair(60, 40)}) {
    const auto lines = compose_view(stage, frame, history, {columns, rows, false});
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    SCOPED_TRACE(text);
    EXPECT_THAT(text, testing::HasSubstr("small  step 8 of 25, seed 7"));
    EXPECT_THAT(text, testing::HasSubstr("G3")) << "three agents at a mark";
    EXPECT_THAT(text, testing::HasSubstr("14")) << "and fourteen in the corner";
    EXPECT_LT(text.find("G3"), text.find('F')) << "north is up";
    EXPECT_THAT(text, testing::HasSubstr("planners  12 agents, planning"));
    EXPECT_THAT(text, testing::HasSubstr("food at A      ███████████████·····  75 %"));
    EXPECT_THAT(text, testing::HasSubstr("food at B      █████···············  25 %"));
    EXPECT_THAT(text, testing::HasSubstr("free energy     1.750 nats  ▁▂▃▄▅▆▇█")) << "each step's, lowest to highest";
    EXPECT_THAT(text, testing::HasSubstr("agreement 0.50, 25 % changed their mind"));
    EXPECT_THAT(text, testing::HasSubstr("coalitions  1, largest 3, worth 2.5"));
  }
  const auto coloured = compose_view(stage, frame, history, {120, 40, true});
  EXPECT_TRUE(std::any_of(coloured.begin(), coloured.end(), [](const std::string& line) {
    return line.find("1;31m") != std::string::npos;
  })) << "what matters is red";
}

TEST(Plot, IsAnSvgWithALinePerPopulationAndPanel) {
  Simulation simulation =
      Simulation::create(parse_scenario(small, "s.yaml", {{"name", "a <b> & c"}}).value(), 1, 1).value();
  History history(2);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(simulation.step());
    history.add(simulation.frame());
  }
  const std::string svg = plot_svg(simulation.stage(), history);
  size_t lines = 0;
  for (size_t at = svg.find("<polyline"); at != std::string::npos; at = svg.find("<polyline", at + 1)) ++lines;
  EXPECT_EQ(lines, 6U);  // who has no mind has no free energy and no entropy
  EXPECT_THAT(svg, testing::HasSubstr("a &lt;b&gt; &amp; c"));
  EXPECT_THAT(svg, testing::Not(testing::HasSubstr("nan")));
}

}  // namespace
}  // namespace skep::scenario
