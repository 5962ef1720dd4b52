// Sensor watching: storms drift over a plane full of sensors, one agent each. Awake, a sensor reads well and may report
// an event, but pays for each step in which there is none; asleep it reads badly and pays nothing. What its coalition
// saw warns it.

#include <cmath>

#include "scenario/world.h"

namespace skep::scenario {
namespace {

enum Level : int { calm, near_by, event, levels };
enum Mode : int { asleep, awake, modes };
enum Outcome : int { nothing, seen, in_vain, outcomes };

constexpr double worth_of_event = 2;
constexpr double reads_well = 0.95, reads_badly = 0.5;
constexpr double near_share = 2;                      // the neighbourhood of a storm, in radii
constexpr double warned[levels] = {0.02, 0.25, 0.6};  // chance to hear of an event, by how near it is

class Sensors final : public World {
 public:
  explicit Sensors(const WorldConfig& config) : config_(config) {}

  Result<belief::GenerativeModel> model(int horizon) const override {
    belief::GenerativeModel m;
    m.name = "sensors";
    m.factor_names = {"mode", "storm"};
    m.modality_names = {"mode", "reading", "outcome", "message"};
    m.A_factors = {{0}, {0, 1}, {0, 1}, {1}};
    m.B_factors = {{0}, {1}};
    m.policy_length = horizon;
    belief::Tensor mode({modes, modes}), reading({levels, modes, levels}), outcome({outcomes, modes, levels}),
        message({2, levels}), set_mode({modes, modes, modes});
    for (int state = 0; state < modes; ++state) {
      mode.at({state, state}) = 1;
      for (int from = 0; from < modes; ++from) set_mode.at({state, from, state}) = 1;
      const double right = state == awake ? reads_well : reads_badly;
      for (int level = 0; level < levels; ++level) {
        for (int shown = 0; shown < levels; ++shown)
          reading.at({shown, state, level}) = shown == level ? right : (1 - right) / (levels - 1);
        outcome.at({outcome_of(state, level), state, level}) = 1;
      }
    }
    for (int level = 0; level < levels; ++level) {
      message.at({1, level}) = warned[level];
      message.at({0, level}) = 1 - warned[level];
    }
    m.A = {std::move(mode), std::move(reading), std::move(outcome), std::move(message)};
    m.B = {std::move(set_mode), drift()};
    m.C = {belief::Tensor({modes}), belief::Tensor({levels}),
           belief::Tensor({outcomes}, {0, worth_of_event, -config_.watch_cost}), belief::Tensor({2})};
    return belief::complete(std::move(m));
  }

  void populate(size_t agents, Random& random) override {
    sensors_.resize(agents);
    for (Sensor& sensor : sensors_) sensor.at = {random.uniform(0, config_.width), random.uniform(0, config_.height)};
    for (int i = 0; i < config_.fronts; ++i) {
      const double angle = random.uniform(0, 2 * M_PI);
      storms_.push_back({{random.uniform(0, config_.width), random.uniform(0, config_.height)},
                         config_.speed * std::cos(angle),
                         config_.speed * std::sin(angle)});
    }
    look();
  }

  void observe(size_t agent, Random& random, std::span<uint16_t> out) override {
    Sensor& self = sensors_[agent];
    out[0] = static_cast<uint16_t>(self.mode);
    int shown = self.level;
    if (random.uniform() >= (self.mode == awake ? reads_well : reads_badly))
      shown = (shown + 1 + static_cast<int>(random.below(levels - 1))) % levels;
    out[1] = static_cast<uint16_t>(shown);
    out[2] = static_cast<uint16_t>(outcome_of(self.mode, self.level));
  }

  uint16_t says(size_t agent) const override {
    return sensors_[agent].mode == awake && sensors_[agent].level == event ? 1 : 0;
  }
  void act(size_t agent, int action, Random&) override { sensors_[agent].mode = action == 0 ? asleep : awake; }

  void advance(Random&) override {
    for (Storm& storm : storms_) {
      storm.at.x = wrapped(storm.at.x + storm.dx, config_.width);
      storm.at.y = wrapped(storm.at.y + storm.dy, config_.height);
    }
    look();
  }

  double reward(size_t agent) const override {
    switch (outcome_of(sensors_[agent].mode, sensors_[agent].level)) {
      case seen:
        return worth_of_event;
      case in_vain:
        return -config_.watch_cost;
      default:
        return 0;
    }
  }
  coalition::Position position(size_t agent) const override { return sensors_[agent].at; }
  std::vector<Mark> marks() const override {
    std::vector<Mark> marks;
    for (const Storm& storm : storms_)
      marks.push_back({static_cast<float>(storm.at.x), static_cast<float>(storm.at.y), '@', true});
    return marks;
  }
  std::vector<std::string> hidden_names() const override { return {"calm", "storm near", "storm here"}; }

 private:
  struct Sensor {
    coalition::Position at;
    int mode = asleep;
    int level = calm;
  };
  struct Storm {
    coalition::Position at;
    double dx = 0, dy = 0;  // per step
  };

  static int outcome_of(int mode, int level) { return mode == asleep ? nothing : level == event ? seen : in_vain; }
  static double wrapped(double value, double size) { return value - size * std::floor(value / size); }

  // How a storm's nearness changes at one place, from the time a storm takes to cross its own zones.
  belief::Tensor drift() const {
    const double leaves = std::min(0.5, config_.speed / config_.radius);  // of the inner or the outer zone, per step
    const double covered = config_.fronts * M_PI * near_share * near_share * config_.radius * config_.radius /
                           (static_cast<double>(config_.width) * config_.height);
    const double comes = std::min(0.3, leaves * std::min(1.0, covered) / 2 + 1e-3);
    belief::Tensor b({levels, levels, 1});
    b.data = {1 - comes, leaves / 2, 0,       // to calm
              comes,     1 - leaves, leaves,  // to near
              0,         leaves / 2, 1 - leaves};
    return b;
  }

  void look() {
    for (Sensor& sensor : sensors_) {
      double nearest = 1e300;
      for (const Storm& storm : storms_) {
        double dx = std::abs(sensor.at.x - storm.at.x), dy = std::abs(sensor.at.y - storm.at.y);
        dx = std::min(dx, config_.width - dx);
        dy = std::min(dy, config_.height - dy);
        nearest = std::min(nearest, std::hypot(dx, dy));
      }
      sensor.level = nearest < config_.radius ? event : nearest < near_share * config_.radius ? near_by : calm;
    }
  }

  WorldConfig config_;
  std::vector<Sensor> sensors_;
  std::vector<Storm> storms_;
};

}  // namespace

std::unique_ptr<World> make_sensors(const WorldConfig& config) { return std::make_unique<Sensors>(config); }

}  // namespace skep::scenario
