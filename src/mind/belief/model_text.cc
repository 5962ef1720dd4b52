// Generative models as YAML and JSON. YAML is turned into the same JSON values first, so both read alike.

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "mind/belief/json_tensor.h"
#include "mind/belief/model.h"

namespace skep::belief {
namespace {

namespace json = boost::json;

constexpr std::array kKeys{"name",
                           "num_states",
                           "num_obs",
                           "num_controls",
                           "A",
                           "B",
                           "C",
                           "D",
                           "E",
                           "pA",
                           "pB",
                           "pD",
                           "A_factors",
                           "B_factors",
                           "policies",
                           "policy_length",
                           "factor_names",
                           "modality_names"};

tl::unexpected<Error> invalid(std::string message, std::string hint = {}) {
  return fail(ErrorCode::invalid_argument, std::move(message), std::move(hint));
}

Result<std::vector<Tensor>> read_tensors(const json::value& value, const std::string& name, size_t entries) {
  if (!value.is_array()) return invalid(name + ": expected a list of arrays");
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < value.get_array().size(); ++i) {
    SKEP_TRY(Tensor tensor, tensor_from_json(value.get_array()[i], fmt::format("{}[{}]", name, i), entries));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

Result<std::vector<int>> read_ints(const json::value& value, const std::string& name) {
  if (!value.is_array()) return invalid(name + ": expected a list of whole numbers");
  std::vector<int> numbers;
  for (size_t i = 0; i < value.get_array().size(); ++i) {
    const json::value& v = value.get_array()[i];
    if (!v.is_int64() || v.get_int64() < INT32_MIN || v.get_int64() > INT32_MAX) {
      return invalid(fmt::format("{}[{}]: expected a whole number", name, i));
    }
    numbers.push_back(static_cast<int>(v.get_int64()));
  }
  return numbers;
}

Result<std::vector<std::vector<int>>> read_int_lists(const json::value& value, const std::string& name) {
  if (!value.is_array()) return invalid(name + ": expected a list of lists");
  std::vector<std::vector<int>> lists;
  for (size_t i = 0; i < value.get_array().size(); ++i) {
    SKEP_TRY(auto list, read_ints(value.get_array()[i], fmt::format("{}[{}]", name, i)));
    lists.push_back(std::move(list));
  }
  return lists;
}

Result<std::vector<std::string>> read_names(const json::value& value, const std::string& name) {
  if (!value.is_array()) return invalid(name + ": expected a list of names");
  std::vector<std::string> names;
  for (const json::value& v : value.get_array()) {
    if (!v.is_string()) return invalid(name + ": expected a list of names");
    names.emplace_back(v.get_string());
  }
  return names;
}

Result<GenerativeModel> read_object(const json::value& value, const ModelLimits& limits) {
  if (!value.is_object()) return invalid("expected a mapping with A and B");
  GenerativeModel m;
  const auto entries = static_cast<size_t>(limits.entries_per_array);
  for (const auto& [key_view, v] : value.get_object()) {
    const std::string key(key_view);
    const auto into = [&](auto& field, auto read) -> Status {
      SKEP_TRY(field, read);
      return {};
    };
    Status read;
    if (key == "name") {
      if (!v.is_string()) return invalid("name: expected text");
      m.name = std::string(v.get_string());
    } else if (key == "policy_length") {
      if (!v.is_int64() || v.get_int64() < 1 || v.get_int64() > 1024)
        return invalid("policy_length: expected 1 to 1024");
      m.policy_length = static_cast<int>(v.get_int64());
    } else if (key == "E") {
      SKEP_TRY(Tensor E, tensor_from_json(v, key, entries));
      if (E.rank() != 1) return invalid("E: expected a flat list");
      m.E = std::move(E.data);
    } else if (key == "A" || key == "B" || key == "C" || key == "D" || key == "pA" || key == "pB" || key == "pD") {
      std::vector<Tensor>& field = key == "A"    ? m.A
                                   : key == "B"  ? m.B
                                   : key == "C"  ? m.C
                                   : key == "D"  ? m.D
                                   : key == "pA" ? m.pA
                                   : key == "pB" ? m.pB
                                                 : m.pD;
      read = into(field, read_tensors(v, key, entries));
    } else if (key == "num_states" || key == "num_obs" || key == "num_controls") {
      read = into(key == "num_states" ? m.num_states
                  : key == "num_obs"  ? m.num_obs
                                      : m.num_controls,
                  read_ints(v, key));
    } else if (key == "A_factors" || key == "B_factors") {
      read = into(key == "A_factors" ? m.A_factors : m.B_factors, read_int_lists(v, key));
    } else if (key == "factor_names" || key == "modality_names") {
      read = into(key == "factor_names" ? m.factor_names : m.modality_names, read_names(v, key));
    } else if (key == "policies") {
      if (!v.is_array()) return invalid("policies: expected a list");
      if (static_cast<int64_t>(v.get_array().size()) > limits.policies) return invalid("policies: too many");
      for (size_t p = 0; p < v.get_array().size(); ++p) {
        SKEP_TRY(Policy policy, read_int_lists(v.get_array()[p], fmt::format("policies[{}]", p)));
        m.policies.push_back(std::move(policy));
      }
      if (m.policies.empty()) return invalid("policies: an empty list", "leave the key out for all policies");
      m.policy_length = static_cast<int>(m.policies.front().size());
    } else {
      return invalid(fmt::format("unknown key '{}'", key), fmt::format("known: {}", fmt::join(kKeys, ", ")));
    }
    SKEP_CHECK(read);
  }
  return complete(std::move(m), limits);
}

Result<GenerativeModel> named(Result<GenerativeModel> model, std::string_view what) {
  if (!model) {
    Error error = std::move(model).error();
    error.message = fmt::format("{}: {}", what, error.message);
    return fail(std::move(error));
  }
  return model;
}

// Plain scalars become numbers where they read as one. Aliases may repeat nodes, so the nodes are counted.
Result<json::value> from_yaml(const YAML::Node& node, int depth, int64_t& budget) {
  if (depth > 32) return invalid("nested too deep");
  if (--budget < 0) return fail(ErrorCode::too_large, "too many values");
  if (node.IsSequence()) {
    json::array list;
    for (const YAML::Node& item : node) {
      SKEP_TRY(json::value v, from_yaml(item, depth + 1, budget));
      list.push_back(std::move(v));
    }
    return json::value(std::move(list));
  }
  if (node.IsMap()) {
    json::object object;
    for (const auto& item : node) {
      if (!item.first.IsScalar())
        return invalid(fmt::format("line {}: a key must be text", item.first.Mark().line + 1));
      SKEP_TRY(json::value v, from_yaml(item.second, depth + 1, budget));
      if (!object.emplace(item.first.Scalar(), std::move(v)).second) {
        return invalid(fmt::format("line {}: '{}' stands twice", item.first.Mark().line + 1, item.first.Scalar()));
      }
    }
    return json::value(std::move(object));
  }
  if (!node.IsScalar()) return json::value(nullptr);
  const std::string& text = node.Scalar();
  const char* end = text.data() + text.size();
  if (node.Tag() != "!") {  // "!" marks a quoted scalar
    int64_t whole = 0;
    if (auto [at, error] = std::from_chars(text.data(), end, whole); error == std::errc() && at == end)
      return json::value(whole);
    double real = 0;
    if (auto [at, error] = std::from_chars(text.data(), end, real); error == std::errc() && at == end)
      return json::value(real);
  }
  return json::value(text);
}

}  // namespace

Result<GenerativeModel> read_model_json(std::string_view text, std::string_view what, const ModelLimits& limits) {
  SKEP_TRY(json::value value, parse_json(text, what, JsonLimits{.size = Bytes(int64_t{1} << 32), .depth = 32}));
  return named(read_object(value, limits), what);
}

Result<GenerativeModel> read_model_yaml(std::string_view text, std::string_view what, const ModelLimits& limits) {
  int64_t budget = limits.entries_per_array;
  Result<json::value> value = json::value();
  try {
    value = from_yaml(YAML::Load(std::string(text)), 0, budget);
  } catch (const YAML::Exception& e) {
    return invalid(fmt::format("{}:{}: {}", what, e.mark.line + 1, e.msg));
  }
  if (!value) return fail(value.error().code, fmt::format("{}: {}", what, value.error().message));
  return named(read_object(*value, limits), what);
}

Result<GenerativeModel> load_model(const std::string& path, const ModelLimits& limits, Bytes size) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  if (error) return fail(ErrorCode::not_found, fmt::format("{}: {}", path, error.message()));
  if (Bytes(static_cast<int64_t>(bytes)) > size) {
    return fail(ErrorCode::too_large, fmt::format("{}: {} is over the limit of {}", path,
                                                  to_string(Bytes(static_cast<int64_t>(bytes))), to_string(size)));
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!(text << file.rdbuf())) return fail(ErrorCode::io, path + ": can't be read");
  return path.ends_with(".json") ? read_model_json(text.str(), path, limits)
                                 : read_model_yaml(text.str(), path, limits);
}

std::string write_model_json(const GenerativeModel& m) {
  json::object object;
  const auto tensors = [&](const char* key, const std::vector<Tensor>& arrays) {
    if (arrays.empty()) return;
    json::array list;
    for (const Tensor& t : arrays) list.push_back(tensor_to_json(t));
    object[key] = std::move(list);
  };
  if (!m.name.empty()) object["name"] = m.name;
  object["num_states"] = json::value_from(m.num_states);
  object["num_obs"] = json::value_from(m.num_obs);
  object["num_controls"] = json::value_from(m.num_controls);
  object["A_factors"] = json::value_from(m.A_factors);
  object["B_factors"] = json::value_from(m.B_factors);
  tensors("A", m.A);
  tensors("B", m.B);
  tensors("C", m.C);
  tensors("D", m.D);
  tensors("pA", m.pA);
  tensors("pB", m.pB);
  tensors("pD", m.pD);
  if (!m.E.empty()) object["E"] = json::value_from(m.E);
  if (!m.policies.empty()) object["policies"] = json::value_from(m.policies);
  object["policy_length"] = m.policy_length;
  if (!m.factor_names.empty()) object["factor_names"] = json::value_from(m.factor_names);
  if (!m.modality_names.empty()) object["modality_names"] = json::value_from(m.modality_names);
  return json::serialize(object);
}

}  // namespace skep::belief
