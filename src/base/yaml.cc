#include "base/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <cassert>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/duration.h"

namespace skep {

struct YamlTree {
  struct Value {
    YamlNode::Kind kind = YamlNode::Kind::null;
    bool quoted = false;
    int line = 0;
    std::string origin;    // instead of file and line, for values from set()
    uint32_t parent = 0;   // the root is its own
    uint32_t ordinal = 0;  // among its siblings
    std::string key;       // in a map
    std::string text;      // of a scalar
    std::vector<uint32_t> children;
  };

  std::string source;
  std::vector<Value> values;  // 0 is the root; children stand behind their parents

  uint32_t add(uint32_t parent, Value value) {
    const auto index = static_cast<uint32_t>(values.size());
    value.parent = parent;
    if (index != 0) {
      value.ordinal = static_cast<uint32_t>(values[parent].children.size());
      values[parent].children.push_back(index);
    }
    values.push_back(std::move(value));
    return index;
  }
};

namespace {

using Kind = YamlNode::Kind;

// Thrown through yaml-cpp by the handler, caught in parse_yaml().
struct Refusal {
  int line;
  std::string message;
  std::string hint;
};

// Builds the tree from the parser's events, so that limits hold while it reads and nothing is expanded.
class Builder final : public YAML::EventHandler {
 public:
  Builder(YamlTree& tree, const YamlLimits& limits) : tree_(tree), limits_(limits) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_anchor(mark); }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override { refuse_anchor(mark); }

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    if (expects_key()) refuse(mark, "a key is missing before ':'");
    add(mark, {.kind = Kind::null});
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    refuse_tag(mark, tag);
    if (expects_key()) return take_key(mark, value);
    add(mark, {.kind = Kind::scalar, .quoted = tag == "!", .text = value});
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, Kind::list);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, tag, Kind::map);
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  struct Level {
    uint32_t index;
    std::optional<std::string> key;              // read, its value not yet
    std::unordered_map<std::string, int> lines;  // of the keys so far
  };

  [[noreturn]] static void refuse(const YAML::Mark& mark, std::string message, std::string hint = {}) {
    throw Refusal{mark.line + 1, std::move(message), std::move(hint)};
  }
  [[noreturn]] static void refuse_anchor(const YAML::Mark& mark) {
    refuse(mark, "anchors (&) and aliases (*) are not supported", "quote the text if it is meant literally");
  }

  // Values without a tag come with "?", quoted ones with "!".
  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.size() > 1) refuse(mark, "the tag " + tag.substr(0, 64) + " is not supported");
  }

  [[nodiscard]] bool expects_key() const {
    return !open_.empty() && tree_.values[open_.back().index].kind == Kind::map && !open_.back().key;
  }

  void take_key(const YAML::Mark& mark, const std::string& key) {
    constexpr size_t kLongestKey = 256;
    if (key.size() > kLongestKey) refuse(mark, "a key is longer than 256 bytes");
    const auto [first, added] = open_.back().lines.try_emplace(key, mark.line + 1);
    if (!added) refuse(mark, fmt::format("'{}' stands here and in line {}", key, first->second));
    open_.back().key = key;
  }

  uint32_t add(const YAML::Mark& mark, YamlTree::Value value) {
    if (static_cast<int>(tree_.values.size()) >= limits_.values) {
      refuse(mark, fmt::format("more than {} values", limits_.values));
    }
    value.line = mark.line + 1;
    uint32_t parent = 0;
    if (!open_.empty()) {
      parent = open_.back().index;
      if (open_.back().key) value.key = *std::exchange(open_.back().key, std::nullopt);
    }
    return tree_.add(parent, std::move(value));
  }

  void open(const YAML::Mark& mark, const std::string& tag, Kind kind) {
    refuse_tag(mark, tag);
    if (expects_key()) refuse(mark, "a list or a map can't be a key");
    if (static_cast<int>(open_.size()) >= limits_.depth)
      refuse(mark, fmt::format("deeper than {} levels", limits_.depth));
    open_.push_back({add(mark, {.kind = kind}), std::nullopt, {}});
  }

  YamlTree& tree_;
  const YamlLimits& limits_;
  std::vector<Level> open_;
};

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::null:
      return "nothing";
    case Kind::scalar:
      return "a single value";
    case Kind::list:
      return "a list";
    case Kind::map:
      return "a map";
  }
  return "nothing";
}

// What std::from_chars reads: it does not know a leading '+'.
std::string_view without_plus(std::string_view text) {
  return text.size() > 1 && text[0] == '+' && text[1] != '-' ? text.substr(1) : text;
}

// For messages: the beginning of a value, without line breaks.
std::string shown(std::string_view text) {
  constexpr size_t kShown = 40;
  std::string out;
  for (char c : text.substr(0, kShown)) out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  // Not in the middle of a character.
  if (text.size() > kShown) {
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xc0) == 0x80) out.pop_back();
    if (!out.empty() && (static_cast<unsigned char>(out.back()) & 0x80) != 0) out.pop_back();
    out += "…";
  }
  return out;
}

}  // namespace

Kind YamlNode::kind() const { return tree_->values[index_].kind; }
int YamlNode::line() const { return tree_->values[index_].line; }
const std::string& YamlNode::key() const { return tree_->values[index_].key; }
size_t YamlNode::size() const { return tree_->values[index_].children.size(); }

YamlNode YamlNode::at(size_t index) const {
  assert(index < size());
  return {tree_, tree_->values[index_].children[index]};
}

std::optional<YamlNode> YamlNode::find(std::string_view key) const {
  if (!is_map()) return std::nullopt;
  for (uint32_t child : tree_->values[index_].children) {
    if (tree_->values[child].key == key) return YamlNode(tree_, child);
  }
  return std::nullopt;
}

std::string YamlNode::place() const {
  const auto& value = tree_->values[index_];
  return value.origin.empty() ? fmt::format("{}:{}", tree_->source, value.line) : value.origin;
}

std::string YamlNode::path() const {
  std::string path;
  for (uint32_t i = index_; i != 0; i = tree_->values[i].parent) {
    const auto& value = tree_->values[i];
    const bool in_list = tree_->values[value.parent].kind == Kind::list;
    const std::string step = in_list ? fmt::format("[{}]", value.ordinal) : value.key;
    const bool dot = !path.empty() && path.front() != '[';
    path = fmt::format("{}{}{}", step, dot ? "." : "", path);
  }
  return path;
}

tl::unexpected<Error> YamlNode::error(std::string message, std::string hint) const {
  const std::string where = path();
  return fail(ErrorCode::invalid_argument,
              fmt::format("{}: {}{}{}", place(), where, where.empty() ? "" : ": ", message), std::move(hint));
}

Result<std::string_view> YamlNode::plain(const char* wanted) const {
  const auto& value = tree_->values[index_];
  if (value.kind != Kind::scalar) return error(fmt::format("must be {}, not {}", wanted, name_of(value.kind)));
  if (value.quoted) return error(fmt::format("must be {}, not quoted text", wanted));
  return std::string_view(value.text);
}

Result<std::string> YamlNode::text(size_t most_bytes) const {
  const auto& value = tree_->values[index_];
  if (value.kind != Kind::scalar) return error(fmt::format("must be text, not {}", name_of(value.kind)));
  if (value.text.size() > most_bytes) {
    return error(fmt::format("is {} bytes long; at most {} are allowed", value.text.size(), most_bytes));
  }
  return value.text;
}

Result<int64_t> YamlNode::integer(int64_t least, int64_t most) const {
  SKEP_TRY(std::string_view text, plain("a whole number"));
  text = without_plus(text);
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, value);
  if (failure == std::errc::result_out_of_range) return error(fmt::format("{} is too large", shown(text)));
  if (failure != std::errc() || stop != end) {
    return error(fmt::format("must be a whole number, not '{}'", shown(text)));
  }
  if (value < least || value > most) {
    if (most == std::numeric_limits<int64_t>::max())
      return error(fmt::format("must be at least {}, not {}", least, value));
    return error(fmt::format("must be {} to {}, not {}", least, most, value));
  }
  return value;
}

Result<double> YamlNode::number(double least, double most) const {
  SKEP_TRY(std::string_view text, plain("a number"));
  text = without_plus(text);
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, value);
  if (failure != std::errc() || stop != end || !std::isfinite(value)) {
    return error(fmt::format("must be a number, not '{}'", shown(text)));
  }
  if (value < least || value > most) return error(fmt::format("must be {} to {}, not {}", least, most, value));
  return value;
}

Result<bool> YamlNode::boolean() const {
  SKEP_TRY(std::string_view text, plain("true or false"));
  if (text == "true") return true;
  if (text == "false") return false;
  return error(fmt::format("must be true or false, not '{}'", shown(text)));
}

Result<Bytes> YamlNode::bytes(Bytes least, Bytes most) const {
  SKEP_TRY(std::string text, this->text());
  auto value = parse_bytes(text);
  if (!value) return error(value.error().message, value.error().hint);
  if (*value < least || *value > most) {
    return error(fmt::format("must be {} to {}, not {}", to_string(least), to_string(most), to_string(*value)));
  }
  return *value;
}

Result<Duration> YamlNode::duration(Duration least, Duration most) const {
  SKEP_TRY(std::string text, this->text());
  auto value = parse_duration(text);
  if (!value) return error(value.error().message, value.error().hint);
  if (*value < least || *value > most) {
    return error(fmt::format("must be {} to {}, not {}", to_string(least), to_string(most), to_string(*value)));
  }
  return *value;
}

YamlDocument::YamlDocument(std::unique_ptr<YamlTree> tree) : tree_(std::move(tree)) {}
YamlDocument::YamlDocument(YamlDocument&&) noexcept = default;
YamlDocument& YamlDocument::operator=(YamlDocument&&) noexcept = default;
YamlDocument::~YamlDocument() = default;

YamlNode YamlDocument::root() const { return {tree_.get(), 0}; }

Status YamlDocument::set(std::string_view path, std::string_view value, std::string_view origin) {
  uint32_t at = 0;
  std::string_view rest = path;
  while (true) {
    auto& here = tree_->values[at];
    if (here.kind == Kind::null) here.kind = Kind::map;  // an empty section
    if (here.kind != Kind::map) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("{}: {} is {} in {}", origin, YamlNode(tree_.get(), at).path(), name_of(here.kind),
                              YamlNode(tree_.get(), at).place()));
    }
    const size_t dot = rest.find('.');
    const std::string_view key = rest.substr(0, dot);
    const auto found = YamlNode(tree_.get(), at).find(key);
    at = found ? found->index_ : tree_->add(at, {.origin = std::string(origin), .key = std::string(key)});
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  auto& leaf = tree_->values[at];
  if (leaf.kind == Kind::list || leaf.kind == Kind::map) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: {} is {}, not a single value", origin, path, name_of(leaf.kind)));
  }
  leaf.kind = Kind::scalar;
  leaf.quoted = false;
  leaf.text = value;
  leaf.origin = origin;
  return {};
}

Result<YamlDocument> parse_yaml(std::string_view text, std::string_view what, const YamlLimits& limits) {
  if (text.size() > static_cast<size_t>(limits.size.count)) {
    return fail(ErrorCode::too_large,
                fmt::format("{}: {} are more than {}", what, to_string(Bytes(static_cast<int64_t>(text.size()))),
                            to_string(limits.size)));
  }
  const auto refused = [&](int line, std::string_view message, std::string hint = {}) {
    return fail(ErrorCode::invalid_argument, fmt::format("{}:{}: {}", what, line, message), std::move(hint));
  };
  auto tree = std::make_unique<YamlTree>();
  tree->source = what;
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    Builder builder(*tree, limits);
    parser.HandleNextDocument(builder);
    if (tree->values.empty()) tree->values.push_back({.line = 1});
    struct Another final : YAML::EventHandler {
      void OnDocumentStart(const YAML::Mark& mark) override {
        throw Refusal{mark.line + 1, "a second document begins here; only one is read", {}};
      }
      void OnDocumentEnd() override {}
      void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
      void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
      void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
      void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
      void OnSequenceEnd() override {}
      void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
      void OnMapEnd() override {}
    } another;
    parser.HandleNextDocument(another);
  } catch (const Refusal& refusal) {
    return refused(refusal.line, refusal.message, refusal.hint);
  } catch (const YAML::Exception& error) {
    const std::string hint = error.msg.find("tab") != std::string::npos ? "indent with spaces" : "";
    return refused(error.mark.is_null() ? 1 : error.mark.line + 1, error.msg, hint);
  } catch (const std::exception& error) {
    return refused(1, error.what());
  }
  return YamlDocument(std::move(tree));
}

Result<YamlDocument> read_yaml(const std::string& path, const YamlLimits& limits) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    const int number = errno;
    return fail(number == ENOENT ? ErrorCode::not_found : ErrorCode::io,
                fmt::format("{}: {}", path, std::strerror(number)));
  }
  // One byte more than allowed tells a file that is too large, whatever it claims its size to be.
  std::string text(static_cast<size_t>(limits.size.count) + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad() || (in.fail() && !in.eof())) return fail(ErrorCode::io, path + ": can't be read");
  text.resize(static_cast<size_t>(in.gcount()));
  return parse_yaml(text, path, limits);
}

}  // namespace skep
