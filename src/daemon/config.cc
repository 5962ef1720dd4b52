#include "daemon/config.h"

#include <cctype>
#include <concepts>
#include <cstdlib>
#include <filesystem>
#include <type_traits>

#include "base/duration.h"
#include "base/nearest.h"
#include "base/yaml.h"
#include "daemon/config_fields.h"

extern "C" char** environ;  // NOLINT(readability-redundant-declaration)

namespace skep::daemon {
namespace {

constexpr size_t kMostEntries = 10'000;  // of a table

// Fills an object from a YAML map; refuses keys that no field has claimed. Keeps the first fault.
class Reader {
 public:
  explicit Reader(YamlNode node) : node_(node) {
    if (!node.is_map() && !node.is_null()) keep(node.error("a map of keys is expected here").value());
  }

  template <typename T, typename... Bounds>
  void field(const char* key, T& value, const Bounds&... bounds) {
    if (auto child = claim(key)) take(*child, value, bounds...);
  }
  template <typename T>
  void section(const char* key, T& object) {
    if (auto child = claim(key)) read(*child, object);
  }
  // What the file names is added to the defaults, or changes them.
  template <typename T>
  void table(const char* key, std::map<std::string, T>& entries) {
    auto child = claim(key);
    if (!child || !is(*child, child->is_map(), "a map from names is expected here")) return;
    for (size_t i = 0; i < child->size(); ++i) {
      YamlNode entry = child->at(i);
      read(entry, entries[entry.key()]);
    }
  }
  template <typename T>
  void table(const char* key, std::vector<T>& entries) {
    auto child = claim(key);
    if (!child || !is(*child, child->is_list(), "a list is expected here")) return;
    entries.clear();
    for (size_t i = 0; i < child->size(); ++i) read(child->at(i), entries.emplace_back());
  }

  Status finish() {
    for (size_t i = 0; !error_ && i < node_.size(); ++i) {
      YamlNode child = node_.at(i);
      if (std::find(known_.begin(), known_.end(), child.key()) != known_.end()) continue;
      std::string hint = did_you_mean(child.key(), known_);
      keep(child.error("unknown key", hint.empty() ? "`skep config show` prints every key" : hint).value());
    }
    if (error_) return fail(*error_);
    return {};
  }

 private:
  std::optional<YamlNode> claim(const char* key) {
    known_.emplace_back(key);
    if (error_ || !node_.is_map()) return std::nullopt;
    auto child = node_.find(key);
    if (child && child->is_null()) return std::nullopt;  // "key:" alone keeps the default
    return child;
  }
  void keep(Error error) {
    if (!error_) error_ = std::move(error);
  }
  bool is(const YamlNode& node, bool holds, const char* otherwise) {
    if (!holds) keep(node.error(otherwise).value());
    if (holds && node.size() > kMostEntries)
      keep(node.error(fmt::format("more than {} entries", kMostEntries)).value());
    return !error_;
  }
  template <typename T>
  void read(const YamlNode& node, T& object) {
    Reader inner(node);
    visit(inner, object);
    if (auto done = inner.finish(); !done) keep(done.error());
  }
  template <typename T, typename R>
  void put(T& value, R&& read) {
    if (read) {
      value = static_cast<T>(*read);
    } else {
      keep(read.error());
    }
  }

  void take(const YamlNode& node, std::string& value) { put(value, node.text()); }
  void take(const YamlNode& node, std::string& value, const Choice& choice) {
    auto text = node.text();
    if (text && std::find(choice.names.begin(), choice.names.end(), *text) == choice.names.end()) {
      std::string all;
      for (const std::string& name : choice.names) all += (all.empty() ? "" : ", ") + (name.empty() ? "\"\"" : name);
      return keep(node.error(fmt::format("'{}' is none of {}", *text, all), did_you_mean(*text, choice.names)).value());
    }
    put(value, text);
  }
  void take(const YamlNode& node, bool& value) { put(value, node.boolean()); }
  void take(const YamlNode& node, int& value, const IntRange& range) {
    put(value, node.integer(range.least, range.most));
  }
  void take(const YamlNode& node, double& value, const NumberRange& range) {
    put(value, node.number(range.least, range.most));
  }
  void take(const YamlNode& node, Duration& value, const DurationRange& range) {
    put(value, node.duration(range.least, range.most));
  }
  void take(const YamlNode& node, Bytes& value, const BytesRange& range) {
    put(value, node.bytes(range.least, range.most));
  }
  template <typename T, typename... Bounds>
  void take(const YamlNode& node, std::optional<T>& value, const Bounds&... bounds) {
    T inner{};
    take(node, inner, bounds...);
    if (!error_) value = inner;
  }
  // A list of texts, or one text with commas (as an environment variable has to say it).
  void take(const YamlNode& node, std::vector<std::string>& value) {
    value.clear();
    if (node.kind() == YamlNode::Kind::scalar) {
      auto text = node.text();
      if (!text) return keep(text.error());
      for (size_t begin = 0; begin <= text->size();) {
        size_t end = std::min(text->find(',', begin), text->size());
        if (end > begin) value.push_back(text->substr(begin, end - begin));
        begin = end + 1;
      }
      return;
    }
    if (!is(node, node.is_list(), "a list of texts is expected here")) return;
    for (size_t i = 0; i < node.size(); ++i) {
      value.emplace_back();
      take(node.at(i), value.back());
    }
  }

  YamlNode node_;
  std::vector<std::string> known_;
  std::optional<Error> error_;
};

// Collects the dotted path of every scalar key, for the names of environment variables.
class Paths {
 public:
  explicit Paths(std::string prefix = {}) : prefix_(std::move(prefix)) {}
  template <typename T, typename... Bounds>
  void field(const char* key, T&, const Bounds&...) {
    all.push_back(prefix_ + key);
  }
  template <typename T>
  void section(const char* key, T& object) {
    Paths inner(prefix_ + key + ".");
    visit(inner, object);
    all.insert(all.end(), inner.all.begin(), inner.all.end());
  }
  template <typename T>
  void table(const char*, T&) {}  // has no single value

  std::vector<std::string> all;

 private:
  std::string prefix_;
};

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// A duration in the largest unit that says it exactly, so that reading it back gives the same.
std::string exact(Duration d) {
  struct Unit {
    Duration size;
    const char* name;
  };
  for (Unit unit : {Unit{std::chrono::hours(1), "h"}, Unit{std::chrono::minutes(1), "m"},
                    Unit{std::chrono::seconds(1), "s"}, Unit{std::chrono::milliseconds(1), "ms"}}) {
    if (d % unit.size == Duration::zero() && d != Duration::zero())
      return fmt::format("{}{}", d / unit.size, unit.name);
  }
  return d == Duration::zero() ? "0s" : fmt::format("{}ns", d.count());
}

std::string exact(Bytes bytes) {
  for (auto [shift, name] : {std::pair{30, "GiB"}, {20, "MiB"}, {10, "KiB"}}) {
    if (bytes.count != 0 && bytes.count % (int64_t{1} << shift) == 0)
      return fmt::format("{}{}", bytes.count >> shift, name);
  }
  return fmt::format("{}", bytes.count);
}

class Writer {
 public:
  explicit Writer(int indent = 0, bool in_list = false) : indent_(static_cast<size_t>(indent)), in_list_(in_list) {}
  template <typename T, typename... Bounds>
  void field(const char* key, T& value, const Bounds&...) {
    line(key, scalar(value));
  }
  template <typename T>
  void section(const char* key, T& object) {
    line(key, "");
    nest(object, false);
  }
  template <typename T>
  void table(const char* key, std::map<std::string, T>& entries) {
    line(key, entries.empty() ? "{}" : "");
    for (auto& [name, entry] : entries) {
      text += std::string(indent_ + 2, ' ') + (plain(name) ? name : quoted(name)) + ":\n";
      Writer inner(static_cast<int>(indent_) + 4);
      visit(inner, entry);
      text += inner.text;
    }
  }
  template <typename T>
  void table(const char* key, std::vector<T>& entries) {
    line(key, entries.empty() ? "[]" : "");
    for (T& entry : entries) nest(entry, true);
  }

  std::string text;

 private:
  template <typename T>
  void nest(T& object, bool in_list) {
    Writer inner(static_cast<int>(indent_) + (in_list ? 4 : 2), in_list);
    visit(inner, object);
    text += inner.text;
  }
  void line(const char* key, const std::string& value) {
    std::string lead(indent_, ' ');
    if (std::exchange(in_list_, false)) lead[indent_ - 2] = '-';  // the first key of a list's entry
    text += lead + key + ":" + (value.empty() ? "" : " " + value) + "\n";
  }
  static bool plain(const std::string& name) {
    return !name.empty() &&
           name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == name.npos;
  }
  static std::string scalar(const std::string& v) { return quoted(v); }
  static std::string scalar(bool v) { return v ? "true" : "false"; }
  static std::string scalar(int v) { return fmt::format("{}", v); }
  static std::string scalar(double v) { return fmt::format("{}", v); }
  static std::string scalar(Duration v) { return exact(v); }
  static std::string scalar(Bytes v) { return exact(v); }
  template <typename T>
  static std::string scalar(const std::optional<T>& v) {
    return v ? scalar(*v) : "~  # chosen by skep";
  }
  static std::string scalar(const std::vector<std::string>& v) {
    std::string out = "[";
    for (const std::string& one : v) out += (out.size() > 1 ? ", " : "") + quoted(one);
    return out + "]";
  }

  size_t indent_;
  bool in_list_;
};

bool defaults_task_type(const std::string& name) { return Config::Generation{}.task_types.contains(name); }

Status check(const Config& config) {
  const auto& r = config.routing;
  auto refuse = [&](std::string message, std::string hint = {}) {
    return fail(ErrorCode::invalid_argument, (config.file.empty() ? "config" : config.file) + ": " + std::move(message),
                std::move(hint));
  };
  if (r.balanced_above > r.deep_above)
    return refuse("routing: balanced_above is more than deep_above", "0.4 and 0.8 are the defaults");
  if (r.reasoning + r.context + r.output + r.domain <= 0)
    return refuse("routing: all four weights are 0", "0.4, 0.2, 0.2 and 0.2 are the defaults");
  for (const auto& [name, tier] : config.tiers) {
    if (name != "fast" && name != "balanced" && name != "deep")
      return refuse(fmt::format("tiers: '{}' is none of fast, balanced, deep", name));
    if (tier.models.empty()) return refuse(fmt::format("tiers.{}: no models", name));
  }
  for (const auto& [name, row] : config.generation.task_types) {
    if (!defaults_task_type(name)) {
      return refuse(fmt::format("generation.task_types: '{}' is none of code, analysis, creative, general", name));
    }
  }
  for (const RemoteEngine& remote : config.remotes) {
    if (remote.name.empty()) return refuse("remotes: an entry without a name");
    if (remote.kind != "null" && !remote.url.starts_with("http://") && !remote.url.starts_with("https://")) {
      return refuse(fmt::format("remotes: {}: '{}' is no http:// or https:// address", remote.name, remote.url));
    }
  }
  for (const ApiKey& key : config.api.keys) {
    if (key.name.empty()) return refuse("api.keys: a key without a name");
    if (key.sha256.empty() == key.env.empty()) {
      return refuse(fmt::format("api.keys: {}: give either sha256 or env", key.name), "printf %s SECRET | sha256sum");
    }
  }
  return {};
}

std::string default_state_folder(const std::map<std::string, std::string>& environment) {
  auto value = [&](const char* name) {
    auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
  };
  if (std::string state = value("XDG_STATE_HOME"); !state.empty()) return state + "/skep";
  if (std::string home = value("HOME"); !home.empty()) return home + "/.local/state/skep";
  return "/var/lib/skep";
}

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& name,
                            const std::map<std::string, std::string>& environment) {
  SKEP_TRY(YamlDocument document, parse_yaml(text, name));
  Config config;
  config.file = name;
  Paths paths;
  visit(paths, config);
  for (const std::string& path : paths.all) {
    std::string variable = "SKEP_";
    for (char c : path) variable += c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (variable == "SKEP_MEMORY_BUDGET" && environment.contains("SKEP_BUDGET")) {
      SKEP_CHECK(document.set(path, environment.at("SKEP_BUDGET"), "SKEP_BUDGET"));
    }
    if (auto found = environment.find(variable); found != environment.end()) {
      SKEP_CHECK(document.set(path, found->second, variable));
    }
  }
  Reader reader(document.root());
  visit(reader, config);
  SKEP_CHECK(reader.finish());
  if (config.state_folder.empty()) config.state_folder = default_state_folder(environment);
  SKEP_CHECK(check(config));
  return config;
}

Result<Config> load_config(const std::string& path) {
  std::map<std::string, std::string> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    std::string_view one = *entry;
    if (auto equals = one.find('='); equals != one.npos)
      environment.emplace(one.substr(0, equals), one.substr(equals + 1));
  }
  std::string file = path;
  if (file.empty() && std::filesystem::exists("skep.yaml")) file = "skep.yaml";
  if (file.empty()) return parse_config("", "", environment);
  SKEP_CHECK(read_yaml(file));  // says what is wrong with the file itself
  std::FILE* in = std::fopen(file.c_str(), "re");
  if (in == nullptr) return fail(ErrorCode::io, fmt::format("{}: can't be read", file));
  std::string text;
  char chunk[8192];
  for (size_t got; (got = std::fread(chunk, 1, sizeof chunk, in)) > 0;) text.append(chunk, got);
  std::fclose(in);
  return parse_config(text, file, environment);
}

std::string to_yaml(const Config& config) {
  Config copy = config;
  Writer writer;
  visit(writer, copy);
  return writer.text;
}

}  // namespace skep::daemon
