#pragma once
// YAML as configuration: small files written by people, read with errors that name the file, the line and the key.
//
// parse_yaml() keeps every value's place; YamlNode is a typed look at one value; YamlFields (yaml_fields.h) fills a
// struct from a map and refuses keys it does not know. What configuration does not need and an attacker would like is
// refused: anchors and aliases, duplicate keys, several documents, depth, size. yaml-cpp itself stays in yaml.cc.
//
// A YamlDocument owns its values; nodes are cheap handles that must not outlive it. Immutable, hence thread-safe,
// except for set().

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"

namespace skep {

struct YamlLimits {
  Bytes size = 1_MiB;
  int depth = 32;
  int values = 100'000;  // scalars, lists and maps together
};

struct YamlTree;  // yaml.cc

class YamlNode {
 public:
  enum class Kind { null, scalar, list, map };

  [[nodiscard]] Kind kind() const;
  [[nodiscard]] bool is_null() const { return kind() == Kind::null; }
  [[nodiscard]] bool is_map() const { return kind() == Kind::map; }
  [[nodiscard]] bool is_list() const { return kind() == Kind::list; }

  [[nodiscard]] int line() const;           // from 1
  [[nodiscard]] std::string place() const;  // "skep.yaml:12"; for a value from set(), its origin
  [[nodiscard]] std::string path() const;   // "models[2].keep_alive"; empty for the root
  // An Error that reads "skep.yaml:12: models[2].keep_alive: <message>".
  [[nodiscard]] tl::unexpected<Error> error(std::string message, std::string hint = {}) const;

  // Children of a list or a map, in file order; a null has none (an empty value may stand for an empty list or map).
  [[nodiscard]] size_t size() const;
  [[nodiscard]] YamlNode at(size_t index) const;                           // index < size()
  [[nodiscard]] const std::string& key() const;                            // this value's key in its map, else empty
  [[nodiscard]] std::optional<YamlNode> find(std::string_view key) const;  // in a map

  // A scalar's value, checked. A quoted scalar is text and nothing else.
  [[nodiscard]] Result<std::string> text(size_t most_bytes = 4096) const;
  [[nodiscard]] Result<int64_t> integer(int64_t least = std::numeric_limits<int64_t>::min(),
                                        int64_t most = std::numeric_limits<int64_t>::max()) const;
  [[nodiscard]] Result<double> number(double least, double most) const;          // finite
  [[nodiscard]] Result<bool> boolean() const;                                    // true or false
  [[nodiscard]] Result<Bytes> bytes(Bytes least, Bytes most) const;              // "4GiB", as parse_bytes()
  [[nodiscard]] Result<Duration> duration(Duration least, Duration most) const;  // "5m", as parse_duration()

 private:
  friend class YamlDocument;
  YamlNode(const YamlTree* tree, uint32_t index) : tree_(tree), index_(index) {}
  [[nodiscard]] Result<std::string_view> plain(const char* wanted) const;

  const YamlTree* tree_;
  uint32_t index_;
};

class YamlDocument {
 public:
  YamlDocument(YamlDocument&&) noexcept;
  YamlDocument& operator=(YamlDocument&&) noexcept;
  ~YamlDocument();

  [[nodiscard]] YamlNode root() const;  // null for an empty file

  // Puts a scalar at a dotted path of map keys ("server.listen"), making maps on the way: how environment variables
  // override a file. `origin` takes the place of "file:line" in errors about it. Fails where the path runs through a
  // scalar or a list. Handles taken before stay valid but may show the old value.
  Status set(std::string_view path, std::string_view value, std::string_view origin);

 private:
  friend Result<YamlDocument> parse_yaml(std::string_view, std::string_view, const YamlLimits&);
  explicit YamlDocument(std::unique_ptr<YamlTree> tree);
  std::unique_ptr<YamlTree> tree_;
};

// `what` names the text in errors: "skep.yaml".
Result<YamlDocument> parse_yaml(std::string_view text, std::string_view what, const YamlLimits& limits = {});
// not_found, io, or as parse_yaml().
Result<YamlDocument> read_yaml(const std::string& path, const YamlLimits& limits = {});

}  // namespace skep
