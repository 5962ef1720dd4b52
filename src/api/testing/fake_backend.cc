#include "api/testing/fake_backend.h"

#include <boost/json.hpp>
#include <sstream>

#include "base/json.h"

namespace skep::api::testing {

namespace json = boost::json;

namespace {

constexpr int kEmbeddingSize = 8;

model::ModelInfo make_model(std::string name, bool embeds) {
  model::ModelInfo model;
  model.name = std::move(name);
  model.path = "/models/" + model.name + ".gguf";
  model.architecture = "llama";
  model.quantization = "Q4_0";
  model.parameters = 134'515'008;
  model.file_size = Bytes(77'000'000);
  model.context_length = 2048;
  model.embedding_length = kEmbeddingSize;
  model.layers = 30;
  model.has_chat_template = !embeds;
  model.embeds = embeds;
  model.hash = "0123456789abcdef";
  model.modified = WallTime(std::chrono::seconds(1'700'000'000));
  model.capabilities = embeds ? std::vector<std::string>{"embedding"} : std::vector<std::string>{"completion", "tools"};
  return model;
}

// Any value that the schema allows, for the keywords that the tests use.
json::value example_of(const json::value& schema) {
  const auto* object = schema.if_object();
  if (object == nullptr) return json::object();
  if (const auto* choices = object->if_contains("enum")) return choices->as_array().front();
  std::string type;
  if (const auto* name = object->if_contains("type")) type = name->as_string().c_str();
  if (type == "string") return "Berlin";
  if (type == "integer" || type == "number") return 7;
  if (type == "boolean") return true;
  if (type == "array") {
    const auto* items = object->if_contains("items");
    return items == nullptr ? json::array() : json::array{example_of(*items)};
  }
  json::object result;
  if (const auto* properties = object->if_contains("properties")) {
    for (const auto& [name, property] : properties->as_object()) result[name] = example_of(property);
  }
  return result;
}

std::string example_text(const std::string& schema) {
  auto parsed = parse_json(schema.empty() ? "{}" : schema, "schema");
  return json::serialize(parsed ? example_of(*parsed) : json::object());
}

}  // namespace

FakeBackend::FakeBackend(EventLoop& loop)
    : loop_(loop), models_{make_model("tiny-chat", false), make_model("org/tiny-embed", true)} {
  script = [this](agent::TaskId id, OpenTask& task) { answer(id, task); };
  models_.push_back(make_model("torn", false));
  models_.back().broken = "the file ends inside its tensor data";
}

agent::RouteDecision FakeBackend::decide(const agent::TaskRequest& request) const {
  bool chosen = request.model.empty() || request.model == "auto" || request.model == "fast" || request.model == "dev-1";
  return {chosen ? "tiny-chat" : request.model, chosen ? "fast" : "", chosen ? "the tier fast serves it" : "as asked",
          0.25};
}

agent::TaskId FakeBackend::submit(agent::TaskRequest request, std::shared_ptr<agent::TaskListener> listener) {
  agent::TaskId id = next_++;
  open[id] = {std::move(request), std::move(listener)};
  loop_.post([this, id] {
    auto task = open.find(id);
    if (task != open.end()) script(id, task->second);
  });
  return id;
}

void FakeBackend::cancel(agent::TaskId task) {
  if (open.erase(task) > 0) cancelled.push_back(task);
}

void FakeBackend::start(agent::TaskId id) {
  OpenTask& task = open.at(id);
  task.listener->started({id, decide(task.request)});
}

void FakeBackend::say(agent::TaskId id, const std::string& text) {
  language::Delta delta;
  delta.content = text;
  delta.tokens = 1;
  if (open.at(id).request.input.overrides.logprobs) delta.logprobs.push_back({text, -0.5F, {{text, -0.5F}}});
  auto listener = open.at(id).listener;
  listener->delta(delta);
}

void FakeBackend::finish(agent::TaskId id, language::Message message, std::string reason) {
  auto found = open.find(id);
  if (found == open.end()) return;
  OpenTask task = std::move(found->second);
  open.erase(found);
  agent::TaskResult result;
  result.id = id;
  result.agent = task.request.agent;
  result.route = decide(task.request);
  result.message = std::move(message);
  result.message.role = "assistant";
  result.finish_reason = std::move(reason);
  result.usage = {11, 4, 3};
  result.seed = task.request.input.overrides.seed.value_or(1);
  result.queued = std::chrono::milliseconds(1);
  result.load = std::chrono::microseconds(500);
  result.prefill = std::chrono::milliseconds(2);
  result.decode = std::chrono::milliseconds(3);
  result.total = std::chrono::milliseconds(6);
  task.listener->finished(result);
}

void FakeBackend::fail(agent::TaskId id, Error error, std::optional<Duration> retry_after) {
  auto found = open.find(id);
  if (found == open.end()) return;
  OpenTask task = std::move(found->second);
  open.erase(found);
  task.listener->failed({id, std::move(error), retry_after});
}

void FakeBackend::answer(agent::TaskId id, OpenTask& task) {
  auto known = find_model(task.request.model.empty() ? "auto" : task.request.model);
  if (!known) return fail(id, known.error());
  const language::Request& input = task.request.input;
  language::Message message;
  using Choice = language::ToolChoice::Kind;
  bool answers_tool = !input.messages.empty() && input.messages.back().role == "tool";
  start(id);
  if (!input.tools.empty() && input.tool_choice.kind != Choice::none && !answers_tool) {
    const language::Tool* tool = &input.tools.front();
    for (const auto& candidate : input.tools) {
      if (candidate.name == input.tool_choice.name) tool = &candidate;
    }
    std::string arguments = example_text(tool->parameters);
    message.tool_calls = {{"call_1", tool->name, arguments}};
    language::Delta head, rest;
    head.tool_calls = {{0, "call_1", tool->name, ""}};
    rest.tool_calls = {{0, "", "", arguments}};
    auto listener = task.listener;
    listener->delta(head);
    listener->delta(rest);
    return finish(id, std::move(message), "tool_calls");
  }
  if (input.format.kind != language::ResponseFormat::Kind::text) {
    message.content = example_text(input.format.schema);
    say(id, message.content);
    return finish(id, std::move(message));
  }
  std::string said = input.messages.empty() ? input.prompt : input.messages.back().content;
  message.content = "You said: " + said;
  std::istringstream words(message.content);
  std::string word, space;
  // A client that was too slow may have cancelled in the middle.
  while (open.count(id) > 0 && words >> word) {
    say(id, space + word);
    space = " ";
  }
  finish(id, std::move(message));
}

Backend::EmbedId FakeBackend::embed(std::string model, engine::Embed input, std::string /*caller*/,
                                    std::function<void(EmbedResult)> done) {
  if (embeds_never) return next_embed_++;
  loop_.post([this, model = std::move(model), input = std::move(input), done = std::move(done)] {
    auto known = find_model(model);
    if (!known) return done(tl::unexpected(ApiError{known.error(), {}}));
    EmbedAnswer answer;
    answer.model = known->name;
    size_t count = input.inputs.size() + input.token_inputs.size();
    for (size_t i = 0; i < count; ++i) {
      std::vector<float> vector(kEmbeddingSize, 0.0F);
      vector[i % kEmbeddingSize] = 0.8F;
      vector[(i + 1) % kEmbeddingSize] = -0.6F;
      answer.embeddings.vectors.push_back(std::move(vector));
    }
    answer.embeddings.prompt_tokens = static_cast<int>(3 * count);
    done(std::move(answer));
  });
  return next_embed_++;
}

void FakeBackend::tokenize(std::string /*model*/, engine::Tokenize input,
                           std::function<void(Result<engine::Tokens>)> done) {
  loop_.post([input = std::move(input), done = std::move(done)] {
    engine::Tokens tokens;
    for (unsigned char c : input.text) tokens.tokens.push_back(c);
    done(std::move(tokens));
  });
}

Result<Backend::Route> FakeBackend::route(const agent::TaskRequest& request) {
  Route route;
  route.decision = decide(request);
  route.factors = {{"length", 0.5}, {"structure", 0.0}};
  route.weights = {{"length", 0.5}, {"structure", 0.5}};
  route.explanation = "short, so the tier fast";
  route.took = std::chrono::microseconds(12);
  return route;
}

std::vector<std::pair<std::string, std::string>> FakeBackend::aliases() const {
  return {{"fast", "tiny-chat"}, {"dev-1", "tiny-chat"}, {"auto", ""}};
}

Result<model::ModelInfo> FakeBackend::find_model(const std::string& name) const {
  std::string plain = name.substr(0, name.rfind(":latest"));
  for (const auto& [alias, target] : aliases()) {
    if (plain == alias) return models_.front();
  }
  for (const auto& model : models_) {
    if (model.name == plain) return model;
  }
  return skep::fail(ErrorCode::not_found, "there is no model '" + name + "'", "skep model list shows what there is");
}

std::vector<RunningModel> FakeBackend::running() const {
  RunningModel model;
  model.info = models_.front();
  model.host_bytes = Bytes(100'000'000);
  model.context_tokens = 2048;
  model.forward = "native avx2";
  model.state = "ready";
  model.slots = 4;
  model.loads = 1;
  return {model};
}

void FakeBackend::load(const std::string& model, std::optional<Duration> /*keep_alive*/,
                       std::function<void(Status)> done) {
  loop_.post([this, model, done = std::move(done)] {
    auto known = find_model(model);
    if (!known) return done(skep::fail(known.error()));
    loaded.push_back(model);
    done({});
  });
}

void FakeBackend::unload(const std::string& model, std::function<void(Status)> done) {
  loop_.post([this, model, done = std::move(done)] {
    unloaded.push_back(model);
    done({});
  });
}

std::vector<AgentView> FakeBackend::agents() const {
  AgentView agent;
  agent.name = "dev-1";
  agent.title = "Developer";
  agent.tier = "fast";
  agent.model = "tiny-chat";
  agent.state = "idle";
  agent.priority = "normal";
  agent.task_types = {"code"};
  agent.system_prompt = "You write code.";
  return {agent};
}

std::vector<TaskView> FakeBackend::tasks() const {
  std::vector<TaskView> views;
  for (const auto& [id, task] : open) {
    TaskView view;
    view.id = id;
    view.agent = task.request.agent;
    view.model = task.request.model;
    view.caller = task.request.caller;
    view.state = "running";
    view.priority = to_string(task.request.priority.value_or(scheduling::Priority::normal));
    views.push_back(std::move(view));
  }
  return views;
}

ResourceUsage FakeBackend::resources() const {
  ResourceUsage usage;
  usage.budget = 4_GiB;
  usage.reserved = 1_GiB;
  usage.entries.push_back({"engine tiny-chat", "host", 512_MiB, 256_MiB, 128_MiB, 128_MiB, 1_GiB, 900_MiB});
  usage.cores = 2;
  usage.queue_limit = 512;
  return usage;
}

PerformanceReport FakeBackend::performance() const {
  PerformanceReport report;
  report.uptime = std::chrono::seconds(90);
  PerformanceReport::Row row;
  row.name = "fast";
  row.tasks = 3;
  row.total = {0.5, 0.9, 1.0, 3};
  report.tiers.push_back(row);
  return report;
}

}  // namespace skep::api::testing
