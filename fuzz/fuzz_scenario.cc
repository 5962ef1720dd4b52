// Scenarios and recorded frames from anywhere: refused or read, never a crash. What is accepted can be simulated.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "scenario/recording.h"
#include "scenario/scenario.h"
#include "scenario/world.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace skep::scenario;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto scenario = parse_scenario(text, "fuzz.yaml"); scenario) {
    const auto world = make_world(scenario->world);
    // The largest models take seconds to validate: out of scope here.
    if (scenario->world.width * scenario->world.height <= 16 && !world->model(1)) __builtin_trap();
  }
  static const Stage stage{
      parse_scenario("name: x\nworld: {kind: foraging}\npopulations: {a: {agents: 2}}\n", "x").value(),
      1,
      {"food at A", "food at B", "food at C"}};
  if (const auto frame = read_frame(text, stage, "fuzz.jsonl:2"); frame) {
    const std::string written = write_frame(*frame);
    const auto again = read_frame(written, stage, "fuzz.jsonl:2");
    if (!again || write_frame(*again) != written) __builtin_trap();
  }
  return 0;
}
