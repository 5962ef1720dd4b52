#include "api/wire/model_job.h"

#include <boost/json.hpp>

#include "api/wire/fields.h"
#include "api/wire/json_text.h"

namespace skep::api {

const char* to_string(ModelJobState state) {
  switch (state) {
    case ModelJobState::queued:
      return "queued";
    case ModelJobState::running:
      return "running";
    case ModelJobState::done:
      return "done";
    case ModelJobState::failed:
      return "failed";
    case ModelJobState::cancelled:
      return "cancelled";
  }
  return "unknown";
}

namespace wire {
namespace {

namespace json = boost::json;

constexpr size_t kMostParameters = 32;
constexpr size_t kMostText = 4096;

// As it stands on a command line; nullopt: no value that could.
std::optional<std::string> text_of(const json::value& value) {
  if (value.is_string() && value.get_string().size() <= kMostText) return std::string(value.get_string());
  if (value.is_number()) return json::serialize(value);
  if (!value.is_array()) return std::nullopt;
  std::string list;
  for (const json::value& each : value.get_array()) {
    const auto text = each.is_array() ? std::nullopt : text_of(each);
    if (!text || list.size() > kMostText) return std::nullopt;
    list += (list.empty() ? "" : ",") + *text;
  }
  return list;
}

double unix_seconds(WallTime time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); }

json::object object_of(const ModelJobView& job) {
  json::object parameters;
  for (const auto& [name, value] : job.request.parameters) parameters[name] = value;
  json::object object{{"id", job.id},
                      {"tool", job.request.tool},
                      {"parameters", std::move(parameters)},
                      {"state", to_string(job.state)},
                      {"stage", job.stage},
                      {"detail", job.detail},
                      {"fraction", job.fraction},
                      {"memory", job.memory.count},
                      {"submitted", unix_seconds(job.submitted)}};
  if (job.started) object["started"] = unix_seconds(*job.started);
  if (job.finished) object["finished"] = unix_seconds(*job.finished);
  if (!job.result.empty()) {
    boost::system::error_code broken;
    json::value result = json::parse(job.result, broken);
    if (!broken) object["result"] = std::move(result);
  }
  if (job.error) {
    object["error"] = json::object{
        {"code", skep::to_string(job.error->code)}, {"message", job.error->message}, {"hint", job.error->hint}};
  }
  return object;
}

}  // namespace

Parsed<ModelJobRequest> parse_model_job(const HttpRequest& request) {
  auto object = parse_body(request.body);
  if (!object) return tl::unexpected(object.error());
  std::optional<ApiError> error;
  Fields body(*object, error);
  ModelJobRequest job;
  job.caller = request.caller.name;
  job.tool = body.required_text("tool");
  const json::value* parameters = body.find("parameters");
  if (parameters != nullptr && !parameters->is_object()) body.bad("parameters", "must be an object");
  if (parameters != nullptr && parameters->is_object()) {
    if (parameters->get_object().size() > kMostParameters) body.bad("parameters", "are too many");
    for (const auto& [name, value] : parameters->get_object()) {
      if (value.is_null() || (value.is_bool() && !value.get_bool())) continue;
      const auto text = value.is_bool() ? std::optional<std::string>("") : text_of(value);
      if (!text) body.bad("parameters", fmt::format("'{}' has a value that no option takes", std::string_view(name)));
      if (text) job.parameters.emplace_back(std::string(name), *text);
    }
  }
  if (error) return tl::unexpected(*error);
  return job;
}

std::string model_job(const ModelJobView& job) { return to_text(object_of(job)); }

std::string model_jobs(const std::vector<ModelJobView>& jobs) {
  json::array list;
  for (const ModelJobView& job : jobs) list.push_back(object_of(job));
  return to_text(json::object{{"jobs", std::move(list)}});
}

}  // namespace wire
}  // namespace skep::api
