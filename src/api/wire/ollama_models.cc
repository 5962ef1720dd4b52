#include "api/wire/ollama_models.h"

#include <boost/json.hpp>

#include "api/wire/json_text.h"
#include "api/wire/ollama_time.h"

namespace skep::api::wire {

namespace json = boost::json;

namespace {

json::object details(const model::ModelInfo& model) {
  return {{"parent_model", ""},
          {"format", "gguf"},
          {"family", model.architecture},
          {"families", json::array{model.architecture}},
          {"parameter_size", parameter_size(model.parameters)},
          {"quantization_level", model.quantization}};
}

json::array texts(const std::vector<std::string>& values) {
  json::array result;
  for (const auto& value : values) result.emplace_back(value);
  return result;
}

}  // namespace

std::string parameter_size(int64_t parameters) {
  auto count = static_cast<double>(parameters);
  if (count >= 1e9) return fmt::format("{:.1f}B", count / 1e9);
  if (count >= 1e6) return fmt::format("{:.0f}M", count / 1e6);
  return fmt::format("{:.0f}K", count / 1e3);
}

std::string ollama_tags(const std::vector<model::ModelInfo>& models) {
  json::array list;
  for (const auto& model : models) {
    if (!model.broken.empty()) continue;
    list.push_back({{"name", model.name},
                    {"model", model.name},
                    {"modified_at", rfc3339(model.modified)},
                    {"size", model.file_size.count},
                    {"digest", model.hash},
                    {"details", details(model)}});
  }
  return to_text(json::object{{"models", std::move(list)}});
}

std::string ollama_ps(const std::vector<RunningModel>& running, WallTime now) {
  json::array list;
  for (const auto& model : running) {
    list.push_back({{"name", model.info.name},
                    {"model", model.info.name},
                    {"size", (model.host_bytes + model.gpu_bytes).count},
                    {"digest", model.info.hash},
                    {"details", details(model.info)},
                    {"expires_at", rfc3339(model.expires_at.value_or(now + kKeepForever))},
                    {"size_vram", model.gpu_bytes.count},
                    {"context_length", model.context_tokens}});
  }
  return to_text(json::object{{"models", std::move(list)}});
}

std::string ollama_show(const model::ModelInfo& model) {
  json::object info{{"general.architecture", model.architecture},
                    {"general.parameter_count", model.parameters},
                    {model.architecture + ".context_length", model.context_length},
                    {model.architecture + ".embedding_length", model.embedding_length},
                    {model.architecture + ".block_count", model.layers}};
  return to_text(json::object{{"modelfile", ""},
                              {"parameters", ""},
                              {"template", ""},
                              {"details", details(model)},
                              {"model_info", std::move(info)},
                              {"capabilities", texts(model.capabilities)},
                              {"modified_at", rfc3339(model.modified)}});
}

}  // namespace skep::api::wire
