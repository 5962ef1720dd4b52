#pragma once
// Fills a struct from a YAML map. Each call names a key and the place for its value; what stands there before the call
// is the default. Wrong values, missing required keys and, at finish(), keys that no call named are collected, so that
// one run shows every mistake:
//
//   Config config;
//   YamlFields fields(document.root());
//   fields.text("listen", config.listen);
//   fields.bytes("budget", config.budget, 64_MiB, 1024_GiB);
//   fields.section("engines", [&](YamlFields& engines) {
//     engines.integer("slots", config.engines.slots, 0, 256);
//     engines.choice("kv_type", config.engines.kv_type, {"f16", "q8_0"});
//   });
//   fields.list("models", 1000, [&](const YamlNode& node) { … });
//   SKEP_CHECK(fields.finish());
//
// A key may be absent or empty (null) unless it is required. A value that is refused leaves its place as it was.

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/yaml.h"

namespace skep {

class YamlFields {
 public:
  // `node` must be a map or null (all defaults); anything else is the first mistake.
  explicit YamlFields(const YamlNode& node);

  YamlFields& required();  // the next call's key must be there

  void text(std::string_view key, std::string& out, size_t most_bytes = 4096);
  void boolean(std::string_view key, bool& out);
  void number(std::string_view key, double& out, double least, double most);
  void integer(std::string_view key, int& out, int least, int most);
  void integer(std::string_view key, int64_t& out, int64_t least, int64_t most);
  void integer(std::string_view key, std::optional<int>& out, int least, int most);
  void bytes(std::string_view key, Bytes& out, Bytes least, Bytes most);
  void bytes(std::string_view key, std::optional<Bytes>& out, Bytes least, Bytes most);
  void duration(std::string_view key, Duration& out, Duration least, Duration most);
  void duration(std::string_view key, std::optional<Duration>& out, Duration least, Duration most);
  // One of the words; the error lists them, or names the nearest.
  void choice(std::string_view key, std::string& out, const std::vector<std::string>& words);
  // A list of texts, or one text with commas between them. Replaces the default list.
  void texts(std::string_view key, std::vector<std::string>& out, size_t most_items, size_t most_bytes = 4096);

  // A nested map, bound by `bind`, which runs for an absent one, too, so that asked() is complete.
  void section(std::string_view key, const std::function<void(YamlFields&)>& bind);
  // Calls `item` for each entry of a list.
  void list(std::string_view key, size_t most_items, const std::function<Status(const YamlNode&)>& item);
  // Calls `item` for each entry of a map whose keys are names chosen by the user; the key is node.key().
  void entries(std::string_view key, size_t most_items, const std::function<Status(const YamlNode&)>& item);

  // The value of a key, marked as known; for shapes that no call above fits.
  std::optional<YamlNode> take(std::string_view key);
  // Adds a mistake found by the caller ("a before b").
  void refuse(const Error& error);

  // Refuses unknown keys, then: success, the one mistake, or one Error with up to ten lines.
  Status finish();

  // Dotted paths of all single values that were asked for, relative to this map: what may be overridden.
  [[nodiscard]] const std::vector<std::string>& asked() const { return asked_; }

 private:
  template <typename T, typename Read>
  void read(std::string_view key, T& out, const Read& value_of);
  std::optional<YamlNode> value_of(std::string_view key);
  void refuse_unknown();

  std::optional<YamlNode> node_;  // none: an absent section
  std::optional<YamlNode> where_;
  std::vector<std::string> known_;
  std::vector<std::string> asked_;
  std::vector<Error> mistakes_;
  bool required_ = false;
};

}  // namespace skep
