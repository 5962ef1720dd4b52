#include "api/wire/openai_models.h"

#include <boost/json.hpp>

#include "api/wire/json_text.h"

namespace skep::api::wire {

namespace json = boost::json;

namespace {

int64_t unix_seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

json::object entry(const std::string& id, int64_t created, const char* owner) {
  return {{"id", id}, {"object", "model"}, {"created", created}, {"owned_by", owner}};
}

}  // namespace

std::string openai_models(const std::vector<model::ModelInfo>& models, const Aliases& aliases, int64_t now) {
  json::array data;
  for (const auto& model : models) {
    if (model.broken.empty()) data.emplace_back(entry(model.name, unix_seconds(model.modified), "library"));
  }
  for (const auto& [name, target] : aliases) {
    json::object alias = entry(name, now, "skep");
    if (!target.empty()) alias["root"] = target;
    data.emplace_back(std::move(alias));
  }
  return to_text(json::object{{"object", "list"}, {"data", std::move(data)}});
}

std::string openai_model(const std::string& id, const model::ModelInfo& model) {
  json::object value = entry(id, unix_seconds(model.modified), "library");
  if (id != model.name) value["root"] = model.name;
  return to_text(value);
}

}  // namespace skep::api::wire
