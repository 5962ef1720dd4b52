// Any bytes as YAML, and as a roster: an error or a tree whose every value can be looked at, in bounded time.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/roster.h"
#include "base/yaml.h"

namespace {

using skep::YamlNode;

// The limits of the format keep this within 32 levels and 10,000 values.
void look_at(const YamlNode& node) {
  (void)node.path();
  (void)node.text();
  (void)node.integer();
  (void)node.number(-1, 1);
  (void)node.boolean();
  (void)node.bytes(skep::Bytes(0), skep::Bytes(1));
  (void)node.duration(skep::Duration(0), skep::Duration(1));
  if (node.place().empty()) std::abort();
  for (size_t i = 0; i < node.size(); ++i) look_at(node.at(i));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto document = skep::parse_yaml(text, "fuzz.yaml", {.values = 10'000});
  if (document) {
    look_at(document->root());
    (void)document->set("agents.name", text.substr(0, 16), "SKEP_X");
    look_at(document->root());
  }
  (void)skep::agent::Roster::parse(text, "fuzz.yaml");
  return 0;
}
