// Populations with sparse rows in a state file: the same bits as in memory, over restarts, deaths and full disks.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "mind/belief/population.h"
#include "mind/belief/random_model.h"
#include "mind/belief/sparse_rows.h"
#include "mind/belief/testing_population.h"

namespace skep::belief {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kAgents = 700;
constexpr int kPlaces = 104;  // a full row has 416 bytes, a pair 8

// A ring of places, walked with slips and seen with slips: who sees is sure of few places, who starts knows nothing.
GenerativeModel ring() {
  GenerativeModel m;
  Tensor A({kPlaces, kPlaces}), B({kPlaces, kPlaces, 3});
  for (int s = 0; s < kPlaces; ++s) {
    for (int d = -1; d <= 1; ++d) A.at({(s + d + kPlaces) % kPlaces, s}) = d == 0 ? 0.8 : 0.1;
    for (int u = 0; u < 3; ++u) {
      B.at({(s + u - 1 + kPlaces) % kPlaces, s, u}) += 0.9;
      B.at({s, s, u}) += 0.1;
    }
  }
  m.A = {A};
  m.B = {B};
  return complete(m).value();
}

GenerativeModel ring_from_one_place() {
  auto model = ring();
  model.D[0] = Tensor({kPlaces});
  model.D[0].data[5] = 1;
  return model;
}

PopulationOptions options_for(const fs::path& file) {
  PopulationOptions o;
  o.capacity = kAgents;
  o.rows = RowStorage::sparse;
  o.prune = 1e-4;
  o.history = 3;
  o.history_beliefs = true;
  o.own_habits = true;
  o.action_selection = ActionSelection::sampled;
  o.alpha = 2;
  o.seed = 4;
  o.file = file;
  return o;
}

// A step of a life: births and deaths, news for all or some, beliefs from one place to all of them.
void live(Population& population, uint64_t step) {
  Random random(3000 + step);
  const uint32_t slot = random.below(kAgents);
  if (step % 3 == 0 && population.occupied(slot)) {
    EXPECT_TRUE(population.remove(population.at(slot)).has_value());
  }
  if (step % 4 == 0) (void)population.add();
  for (uint32_t other = random.below(90); other < kAgents; other += 90) {
    if (!population.occupied(other)) continue;
    std::vector<double> belief(kPlaces);
    const size_t wide = other % 4 == 0 ? kPlaces : 1 + random.below(60);
    for (size_t s = 0; s < wide; ++s) belief[s] = 1 / static_cast<double>(wide);
    EXPECT_TRUE(population.set_belief(other, belief).has_value());
    EXPECT_TRUE(population.set_habits(other, std::vector<double>{0.6, 0.3, 0.1}).has_value());
  }
  std::vector<uint16_t> observations, of_some;
  std::vector<uint32_t> some;
  for (uint32_t i = 0; i < kAgents; ++i) {
    const uint32_t near = (i + random.below(3)) % kPlaces;
    observations.push_back(random.below(3) == 0 ? kNotObserved : static_cast<uint16_t>(near));
    if (population.occupied(i) && i % 3 == step % 3) {
      some.push_back(i);
      of_some.push_back(observations.back());
    }
  }
  if (step % 3 == 2) {
    EXPECT_TRUE(population.step_some(some, of_some).has_value());
  } else {
    EXPECT_TRUE(population.step(observations).has_value());
  }
}

void start(Population& population) {
  for (uint32_t i = 0; i < kAgents - 50; ++i) EXPECT_TRUE(population.add().has_value());
}

void expect_equal(const Population& a, const Population& b) {
  ASSERT_EQ(a.steps(), b.steps());
  ASSERT_EQ(a.size(), b.size());
  std::vector<double> left(kPlaces), right(kPlaces);
  HistoryEntry first, second;
  for (uint32_t slot = 0; slot < kAgents; ++slot) {
    ASSERT_EQ(a.occupied(slot), b.occupied(slot)) << slot;
    if (!a.occupied(slot)) continue;
    ASSERT_EQ(a.at(slot), b.at(slot)) << slot;
    ASSERT_EQ(a.actions()[slot], b.actions()[slot]) << slot;
    ASSERT_EQ(a.free_energy()[slot], b.free_energy()[slot]) << slot;
    ASSERT_EQ(a.error_bound(slot), b.error_bound(slot)) << slot;
    a.copy_belief(slot, left);
    b.copy_belief(slot, right);
    ASSERT_EQ(left, right) << slot;
    for (uint32_t i = 0; i < 3; ++i) {
      const bool there = a.history(slot, i, first);
      ASSERT_EQ(there, b.history(slot, i, second)) << slot << ' ' << i;
      if (there) {
        ASSERT_EQ(first.observation[0], second.observation[0]);
        ASSERT_TRUE(std::equal(first.belief.begin(), first.belief.end(), second.belief.begin(), second.belief.end()));
      }
    }
  }
}

class SparseFileTest : public PopulationFileTest {
 protected:
  [[nodiscard]] std::unique_ptr<Population> made(const fs::path& at) const {
    auto population = Population::create(ring(), options_for(at), *pool_).value();
    start(*population);
    return population;
  }
  [[nodiscard]] std::unique_ptr<Population> lived(const fs::path& at, uint64_t steps) const {
    auto population = made(at);
    for (uint64_t t = 0; t < steps; ++t) live(*population, t);
    return population;
  }

  std::unique_ptr<kernel::ThreadPool> pool_ = kernel::ThreadPool::create(2, kernel::Pinning::never);
};

TEST_F(SparseFileTest, ARestartContinuesWithTheBitsOfMemory) {
  auto reference = made({});
  auto population = made(file());
  for (uint64_t t = 0; t < 30; ++t) {
    if (t % 5 == 4) {
      if (t == 14) {
        ASSERT_TRUE(population->sync().has_value());
      }
      population.reset();
      PopulationOptions other;  // rows, habits and what is pruned are the file's
      other.file = file();
      other.action_selection = ActionSelection::sampled;
      other.alpha = 2;
      population = Population::open(other, *pool_).value();
      EXPECT_EQ(population->options().rows, RowStorage::sparse);
    }
    live(*reference, t);
    live(*population, t);
    expect_equal(*reference, *population);
    if (HasFatalFailure()) {
      ADD_FAILURE() << "step " << t;
      return;
    }
  }
}

// Rows as large as full ones go through the heap, too, and what they leave serves small ones.
TEST_F(SparseFileTest, TheFileGrowsWithWhatIsBelievedAndIsSmallerThanFullRows) {
  const auto model = ring_from_one_place();
  auto options = options_for(file());
  options.capacity = 20'000;
  options.history = 0;
  options.history_beliefs = false;
  options.own_habits = false;
  auto population = Population::create(model, options, *pool_).value();
  for (uint32_t i = 0; i < options.capacity; ++i) ASSERT_TRUE(population->add().has_value());
  const uintmax_t sure = fs::file_size(file());
  options.file = folder_ / "full";
  options.rows = RowStorage::full;
  auto full = Population::create(model, options, *pool_).value();
  EXPECT_LT(sure, fs::file_size(options.file) / 4);
  const std::vector<double> even(kPlaces, 1.0 / kPlaces);
  for (uint32_t slot = 0; slot < options.capacity; ++slot) {
    ASSERT_TRUE(population->set_belief(slot, even).has_value());
  }
  const uintmax_t unsure = fs::file_size(file());
  EXPECT_GT(unsure, sure + uintmax_t{options.capacity} * (kPlaces - 8) * 4) << "in steps of an eighth";
  for (int t = 0; t < 4; ++t) {
    const std::vector<uint16_t> seen(options.capacity, 7);
    ASSERT_TRUE(population->step(seen).has_value());
  }
  EXPECT_LE(fs::file_size(file()), unsure + (unsure >> 2)) << "the other side's rows are small";
}

TEST_F(SparseFileTest, ADeathAtAnyInstantLeavesTheLastCompleteStep) {
  pool_ = kernel::ThreadPool::create(1);           // TSan lets a child start threads only if its parent has none
  Random random(static_cast<uint64_t>(getpid()));  // another instant in every run
  uint64_t most_steps = 0;
  for (int round = 0; round < 20; ++round) {
    fs::remove(file());
    {
      auto population = lived(file(), 1);
      if (round % 2 == 0) {
        ASSERT_TRUE(population->sync().has_value());
      }
    }
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto own_pool = kernel::ThreadPool::create(2, kernel::Pinning::never);
      auto population = Population::open(options_for(file()), *own_pool).value();
      for (uint64_t t = 1;; ++t) {
        live(*population, t);
        if (t % 32 == 31) (void)population->sync();
      }
    }
    const uint32_t longest = most_steps > 3 ? 30'000 : 300'000;  // under a sanitizer a step takes its time
    std::this_thread::sleep_for(std::chrono::microseconds(500 + random.below(longest)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);

    auto survivor = Population::open(options_for(file()), *pool_);
    ASSERT_TRUE(survivor.has_value()) << survivor.error().text();
    const uint64_t steps = (*survivor)->steps();
    most_steps = std::max(most_steps, steps);
    auto reference = lived({}, steps);
    expect_equal(*reference, **survivor);
    for (uint64_t t = steps; t < steps + 3; ++t) {
      live(*reference, t);
      live(**survivor, t);
    }
    expect_equal(*reference, **survivor);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(most_steps, 3u) << "no child lived long enough to be killed in the middle of something";
}

// As good as a full disk, for as long as it lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(uintmax_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  sighandler_t handler_;
  rlimit before_{};
};

TEST_F(SparseFileTest, AFullDiskIsAnErrorAndTheFileStaysAtItsLastStep) {
  auto options = options_for(file());
  options.capacity = 4000;
  auto population = Population::create(ring_from_one_place(), options, *pool_).value();
  for (uint32_t i = 0; i < 3000; ++i) ASSERT_TRUE(population->add().has_value());
  const std::vector<uint16_t> seen(options.capacity, 6);
  ASSERT_TRUE(population->step(seen).has_value());
  std::vector<double> before(kPlaces), after(kPlaces);
  population->copy_belief(2999, before);
  const std::vector<double> even(kPlaces, 1.0 / kPlaces);
  Status status;
  {
    const FileSizeLimit full(fs::file_size(file()));
    for (uint32_t slot = 0; slot < 3000 && status; ++slot) status = population->set_belief(slot, even);
    ASSERT_FALSE(status.has_value()) << "3,000 full rows are more than a mebibyte";
    EXPECT_EQ(status.error().code, ErrorCode::io);
    EXPECT_NE(status.error().hint.find("make room"), std::string::npos) << status.error().text();
    EXPECT_FALSE(population->step(seen).has_value()) << "rows are not what they should be";
    EXPECT_FALSE(population->add().has_value());
  }
  EXPECT_EQ(population->step(seen).error().code, ErrorCode::io) << "not even when there is room again";
  population.reset();
  population = Population::open(options, *pool_).value();
  EXPECT_EQ(population->steps(), 1u);
  EXPECT_EQ(population->size(), 3000u);
  population->copy_belief(2999, after);
  EXPECT_EQ(before, after);
  for (uint32_t slot = 0; slot < 3000; ++slot) ASSERT_TRUE(population->set_belief(slot, even).has_value());
  EXPECT_TRUE(population->step(seen).has_value());
}

// In a step, too, where several threads want room at once.
TEST_F(SparseFileTest, AStepThatFindsNoRoomIsNotCommitted) {
  auto options = options_for(file());
  options.capacity = 4000;
  options.prune = 0;
  auto model = ring_from_one_place();
  for (double& p : model.B[0].data) p = 1.0 / kPlaces;  // whoever sees nothing may be anywhere
  auto population = Population::create(model, options, *pool_).value();
  for (uint32_t i = 0; i < options.capacity; ++i) ASSERT_TRUE(population->add().has_value());
  const std::vector<uint16_t> nothing(options.capacity, kNotObserved);
  ASSERT_TRUE(population->step(nothing).has_value()) << "a first step stays at D";
  {
    const FileSizeLimit full(fs::file_size(file()));
    EXPECT_EQ(population->step(nothing).error().code, ErrorCode::io);
  }
  population.reset();
  population = Population::open(options, *pool_).value();
  EXPECT_EQ(population->steps(), 1u);
  std::vector<double> belief(kPlaces);
  for (uint32_t slot = 0; slot < options.capacity; ++slot) {
    population->copy_belief(slot, belief);
    ASSERT_EQ(belief[5], 1) << slot;
  }
  EXPECT_TRUE(population->step(nothing).has_value());
}

// Damage that no checksum covers, since nothing was sealed after it: refused, never followed.
TEST_F(SparseFileTest, RowsThatCantBeAreRefused) {
  using Change = void (*)(StateFile&, RowHead&);
  const Change changes[] = {
      [](StateFile&, RowHead& h) { h.at = ~uint64_t{7}; },
      [](StateFile& f, RowHead& h) { h.at = f.heap_bytes() - 8; },
      [](StateFile&, RowHead& h) { h.bytes = 417; },
      [](StateFile&, RowHead& h) { h.bytes = 12; },
      [](StateFile&, RowHead& h) { h.bytes = 0; },
      [](StateFile&, RowHead& h) { h.error = -1; },
      [](StateFile& f, RowHead& h) { h.at = f.head(4, row_of(f.record(4, 0)->flags))->at; },
      [](StateFile& f, RowHead& h) {
        const uint32_t places[] = {7, 0, 7, 0};
        h.bytes = 16;
        std::copy_n(places, 4, reinterpret_cast<uint32_t*>(f.heap() + h.at));
      },
      [](StateFile& f, RowHead& h) {
        h.bytes = 8;
        *reinterpret_cast<uint32_t*>(f.heap() + h.at) = kPlaces;
      },
  };
  for (size_t i = 0; i < std::size(changes); ++i) {
    fs::remove(file());
    lived(file(), 1).reset();
    {
      StateFile state = StateFile::open(file()).value();
      const uint32_t side = state.record(3, 1)->stamp > state.record(3, 0)->stamp ? 1 : 0;
      changes[i](state, *state.head(3, row_of(state.record(3, side)->flags)));
    }
    const auto opened = Population::open(options_for(file()), *pool_);
    ASSERT_FALSE(opened.has_value()) << "change " << i;
    EXPECT_EQ(opened.error().code, ErrorCode::corrupt) << i;
  }
}

TEST_F(SparseFileTest, DamageToASealedRowInTheHeapIsFoundAndSoIsACutFile) {
  {
    auto population = lived(file(), 3);
    ASSERT_TRUE(population->sync().has_value());
  }
  Population::open(options_for(file()), *pool_).value().reset();  // what is forgotten on opening was not sealed
  const uintmax_t size = fs::file_size(file());
  {
    StateFile state = StateFile::open(file()).value();
    const uint32_t side = state.record(9, 1)->stamp > state.record(9, 0)->stamp ? 1 : 0;
    const RowHead* head = state.head(9, row_of(state.record(9, side)->flags));
    state.heap()[head->at + 4] ^= std::byte{0x10};
  }
  EXPECT_EQ(Population::open(options_for(file()), *pool_).error().code, ErrorCode::corrupt);
  fs::resize_file(file(), size - (size_t{1} << 20));
  EXPECT_EQ(Population::open(options_for(file()), *pool_).error().code, ErrorCode::corrupt);
  fs::resize_file(file(), 4 * 4096);
  EXPECT_EQ(Population::open(options_for(file()), *pool_).error().code, ErrorCode::corrupt);
}

}  // namespace
}  // namespace skep::belief
