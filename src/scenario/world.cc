#include "scenario/world.h"

namespace skep::scenario {

std::unique_ptr<World> make_world(const WorldConfig& config) {
  switch (config.kind) {
    case WorldKind::foraging:
      return make_foraging(config);
    case WorldKind::sensors:
      return make_sensors(config);
    case WorldKind::patrol:
      return make_patrol(config);
  }
  return nullptr;
}

}  // namespace skep::scenario
