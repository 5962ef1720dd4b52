#include "daemon/config.h"

#include <cctype>
#include <cstdlib>
#include <filesystem>

#include "base/yaml_fields.h"
#include "daemon/config_fields.h"

extern "C" char** environ;  // NOLINT(readability-redundant-declaration)

namespace skep::daemon {
namespace {

constexpr size_t kMostEntries = 10'000;  // of a table

// The visitor that reads: each key of config_fields.h is asked of the one binder, with its bounds.
class Reader {
 public:
  explicit Reader(YamlFields& fields) : fields_(fields) {}

  void field(const char* key, std::string& value) { fields_.text(key, value); }
  void field(const char* key, std::string& value, const Choice& c) { fields_.choice(key, value, c.names); }
  void field(const char* key, std::vector<std::string>& value) { fields_.texts(key, value, kMostEntries); }
  void field(const char* key, bool& value) { fields_.boolean(key, value); }
  void field(const char* key, double& value, const NumberRange& r) { fields_.number(key, value, r.least, r.most); }
  void field(const char* key, int& value, const IntRange& r) { integer(key, value, r); }
  void field(const char* key, std::optional<int>& value, const IntRange& r) { integer(key, value, r); }
  template <typename T>  // Bytes, Duration, or an optional one
  void field(const char* key, T& value, const BytesRange& r) {
    fields_.bytes(key, value, r.least, r.most);
  }
  template <typename T>
  void field(const char* key, T& value, const DurationRange& r) {
    fields_.duration(key, value, r.least, r.most);
  }

  template <typename T>
  void section(const char* key, T& object) {
    fields_.section(key, [&](YamlFields& inner) {
      Reader reader(inner);
      visit(reader, object);
    });
  }
  // What the file names is added to the defaults, or changes them.
  template <typename T>
  void table(const char* key, std::map<std::string, T>& entries) {
    fields_.entries(key, kMostEntries, [&](const YamlNode& node) { return read(node, entries[node.key()]); });
  }
  template <typename T>  // none of these lists has entries by default
  void table(const char* key, std::vector<T>& entries) {
    fields_.list(key, kMostEntries, [&](const YamlNode& node) { return read(node, entries.emplace_back()); });
  }

 private:
  template <typename T>
  static Status read(const YamlNode& node, T& object) {
    YamlFields fields(node);
    Reader reader(fields);
    visit(reader, object);
    return fields.finish();
  }
  template <typename T>
  void integer(const char* key, T& value, const IntRange& r) {
    fields_.integer(key, value, static_cast<int>(r.least), static_cast<int>(r.most));
  }

  YamlFields& fields_;
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
  if (config.cache.third == "events" && config.events.store == "off") {
    return refuse("cache.third: 'events' is the event log's database, and events.store is off",
                  "set events.store, or cache.third: off");
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

// SKEP_ENGINES_SLOTS is engines.slots: every key with a single value can be named so.
Status override_by(const std::map<std::string, std::string>& environment, YamlDocument& document) {
  SKEP_TRY(YamlDocument nothing, parse_yaml("", ""));
  Config config;
  YamlFields fields(nothing.root());
  Reader reader(fields);
  visit(reader, config);
  for (const std::string& path : fields.asked()) {
    std::string variable = "SKEP_";
    for (char c : path) variable += c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (variable == "SKEP_MEMORY_BUDGET" && environment.contains("SKEP_BUDGET")) {
      SKEP_CHECK(document.set(path, environment.at("SKEP_BUDGET"), "SKEP_BUDGET"));
    }
    if (auto found = environment.find(variable); found != environment.end()) {
      SKEP_CHECK(document.set(path, found->second, variable));
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

Result<Config> config_from(YamlDocument document, const std::string& name,
                           const std::map<std::string, std::string>& environment) {
  Config config;
  config.file = name;
  SKEP_CHECK(override_by(environment, document));
  YamlFields fields(document.root());
  Reader reader(fields);
  visit(reader, config);
  SKEP_CHECK(fields.finish());
  config.names_state_folder = !config.state_folder.empty();
  if (!config.names_state_folder) config.state_folder = default_state_folder(environment);
  SKEP_CHECK(check(config));
  return config;
}

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& name,
                            const std::map<std::string, std::string>& environment) {
  SKEP_TRY(YamlDocument document, parse_yaml(text, name));
  return config_from(std::move(document), name, environment);
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
  SKEP_TRY(YamlDocument document, read_yaml(file));
  return config_from(std::move(document), file, environment);
}

std::string to_yaml(const Config& config) {
  Config copy = config;
  Writer writer;
  visit(writer, copy);
  return writer.text;
}

}  // namespace skep::daemon
