// Patrol: an intruder wanders over a grid, and guards look for it. A guard sees it only from the next cell; what it
// sees it tells its coalition as a quarter of the grid. Caught, the intruder starts again elsewhere.

#include "scenario/grid_walk.h"
#include "scenario/world.h"

namespace skep::scenario {
namespace {

enum Contact : int { none, close, caught, contacts };
constexpr double wants_close = 0.5, wants_caught = 4;  // log preferences
constexpr double heard = 0.2;                          // how often guards expect to hear something
constexpr double starts_again = 0.02;                  // how often they expect it to be caught by others
constexpr int quarters = 4;

class Patrol final : public World {
 public:
  explicit Patrol(const WorldConfig& config) : config_(config), grid_{config.width, config.height} {}

  Result<belief::GenerativeModel> model(int horizon) const override {
    const int places = grid_.places();
    belief::GenerativeModel m;
    m.name = "patrol";
    m.factor_names = {"place", "intruder"};
    m.modality_names = {"place", "contact", "message"};
    m.A_factors = {{0}, {0, 1}, {1}};
    m.B_factors = {{0}, {1}};
    m.policy_length = horizon;
    belief::Tensor contact({contacts, places, places}), message({quarters + 1, places}), wander({places, places, 1});
    for (int intruder = 0; intruder < places; ++intruder) {
      for (int place = 0; place < places; ++place) contact.at({contact_of(place, intruder), place, intruder}) = 1;
      message.at({0, intruder}) = 1 - heard;
      message.at({1 + quarter(intruder), intruder}) = heard;
      for (int to = 0; to < places; ++to) wander.at({to, intruder, 0}) += starts_again / places;
      wander.at({intruder, intruder, 0}) += (1 - starts_again) * (1 - config_.speed);
      for (int step = 1; step < GridWalk::actions; ++step)
        wander.at({grid_.after(intruder, step), intruder, 0}) += (1 - starts_again) * config_.speed / 4;
    }
    m.A = {grid_.identity(), std::move(contact), std::move(message)};
    m.B = {grid_.transitions(), std::move(wander)};
    m.C = {belief::Tensor({places}), belief::Tensor({contacts}, {0, wants_close, wants_caught}),
           belief::Tensor({quarters + 1})};
    return belief::complete(std::move(m));
  }

  void populate(size_t agents, Random& random) override {
    guards_.resize(agents);
    for (Guard& guard : guards_) guard.place = anywhere(random);
    intruder_ = anywhere(random);
  }

  void observe(size_t agent, Random&, std::span<uint16_t> out) override {
    Guard& self = guards_[agent];
    self.contact = contact_of(self.place, intruder_);
    out[0] = static_cast<uint16_t>(self.place);
    out[1] = static_cast<uint16_t>(self.contact);
  }

  uint16_t says(size_t agent) const override {
    return guards_[agent].contact == none ? 0 : static_cast<uint16_t>(1 + quarter(intruder_));
  }
  void act(size_t agent, int action, Random&) override {
    guards_[agent].place = grid_.after(guards_[agent].place, action);
  }

  void advance(Random& random) override {
    bool over = false;
    for (Guard& guard : guards_) {
      guard.reward = guard.place == intruder_ ? 1 : 0;
      over |= guard.place == intruder_;
    }
    if (over)
      intruder_ = anywhere(random);
    else if (random.uniform() < config_.speed)
      intruder_ = grid_.after(intruder_, 1 + static_cast<int>(random.below(4)));
  }

  double reward(size_t agent) const override { return guards_[agent].reward; }
  coalition::Position position(size_t agent) const override {
    return {grid_.x(guards_[agent].place) + 0.5, grid_.y(guards_[agent].place) + 0.5};
  }
  std::vector<Mark> marks() const override {
    return {{static_cast<float>(grid_.x(intruder_)) + 0.5F, static_cast<float>(grid_.y(intruder_)) + 0.5F, 'X', true}};
  }
  std::vector<std::string> hidden_names() const override {
    std::vector<std::string> names;
    for (int place = 0; place < grid_.places(); ++place)
      names.push_back(fmt::format("at {},{}", grid_.x(place), grid_.y(place)));
    return names;
  }

 private:
  struct Guard {
    int place = 0;
    int contact = none;
    double reward = 0;
  };

  int contact_of(int place, int intruder) const {
    const int distance = grid_.distance(place, intruder);
    return distance == 0 ? caught : distance == 1 ? close : none;
  }
  int quarter(int place) const {
    return (2 * grid_.x(place) >= grid_.width ? 1 : 0) + (2 * grid_.y(place) >= grid_.height ? 2 : 0);
  }
  int anywhere(Random& random) const { return static_cast<int>(random.below(static_cast<uint32_t>(grid_.places()))); }

  WorldConfig config_;
  GridWalk grid_;
  std::vector<Guard> guards_;
  int intruder_ = 0;
};

}  // namespace

std::unique_ptr<World> make_patrol(const WorldConfig& config) { return std::make_unique<Patrol>(config); }

}  // namespace skep::scenario
