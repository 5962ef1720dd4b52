#include "agent/answer_codec.h"

#include "store/encoding.h"

namespace skep::agent {
namespace {

constexpr int64_t kKeyVersion = 2;  // change it with what an answer is made from
constexpr uint8_t kAnswerVersion = 1;

cache::CacheKey key_of(const engine::Generate& g, const language::Request& input, std::string_view model,
                       bool with_question) {
  cache::CacheKeyBuilder key;
  key.integer("version", kKeyVersion).text("model", model).text("scope", g.share_scope);
  size_t question = g.messages.size();
  if (!with_question) {
    for (size_t i = g.messages.size(); i > 0; --i) {
      if (g.messages[i - 1].role == "user") {
        question = i - 1;
        break;
      }
    }
  }
  key.integer("messages", static_cast<int64_t>(g.messages.size()));
  for (size_t i = 0; i < g.messages.size(); ++i) {
    key.text("role", g.messages[i].role);
    if (i != question) key.text("content", g.messages[i].content);
  }
  key.text("adapter", g.adapter).real("scale", g.adapter_scale);
  key.text("prompt", g.prompt).text("prefix", g.assistant_prefix).integer("special", g.add_special ? 1 : 0);
  const engine::Sampling& s = g.sampling;
  key.real("temperature", s.temperature).integer("top_k", s.top_k).real("top_p", s.top_p).real("min_p", s.min_p);
  key.real("repeat", s.repeat_penalty).real("presence", s.presence_penalty).real("frequency", s.frequency_penalty);
  key.integer("last_n", s.penalty_last_n).integer("seeded", input.overrides.seed ? 1 : 0);
  key.integer("seed", input.overrides.seed.value_or(0));  // s.seed may be drawn
  for (const auto& [token, bias] : s.logit_bias) key.integer("token", token).real("bias", bias);
  key.integer("max_tokens", g.max_tokens).integer("ignore_eos", g.ignore_eos ? 1 : 0);
  for (const std::string& stop : g.stop) key.text("stop", stop);
  key.text("grammar", g.grammar).text("schema", g.json_schema);
  // How the answer is read.
  for (const language::Tool& tool : input.tools) {
    key.text("tool", tool.name).text("description", tool.description).text("parameters", tool.parameters);
  }
  key.integer("tool_choice", static_cast<int64_t>(input.tool_choice.kind)).text("tool_name", input.tool_choice.name);
  key.integer("format", static_cast<int64_t>(input.format.kind));
  key.integer("think", input.think ? (*input.think ? 1 : 0) : -1);
  return key.finish();
}

}  // namespace

cache::CacheKey answer_key(const engine::Generate& generate, const language::Request& input, std::string_view model) {
  return key_of(generate, input, model, true);
}

cache::CacheKey answer_scope(const engine::Generate& generate, const language::Request& input, std::string_view model) {
  return key_of(generate, input, model, false);
}

std::string question_of(const engine::Generate& generate) {
  for (size_t i = generate.messages.size(); i > 0; --i) {
    if (generate.messages[i - 1].role == "user") return generate.messages[i - 1].content;
  }
  return {};
}

std::string encode_answer(const TaskResult& result) {
  store::Encoder out;
  const language::Message& m = result.message;
  out.fixed(kAnswerVersion).text(m.content).text(m.reasoning).text(result.finish_reason);
  out.varint(m.tool_calls.size());
  for (const auto& call : m.tool_calls) out.text(call.id).text(call.name).text(call.arguments);
  out.integer(result.usage.prompt_tokens).integer(result.usage.completion_tokens).varint(result.seed);
  return out.take();
}

std::optional<TaskResult> decode_answer(std::string_view bytes) {
  store::Decoder in(bytes);
  if (in.fixed<uint8_t>() != kAnswerVersion) return std::nullopt;
  TaskResult result;
  result.message.role = "assistant";
  result.message.content = in.text();
  result.message.reasoning = in.text();
  result.finish_reason = in.text();
  for (uint64_t n = in.varint(); n > 0 && in.ok(); --n) {
    language::ToolCall call;
    call.id = in.text();
    call.name = in.text();
    call.arguments = in.text();
    result.message.tool_calls.push_back(std::move(call));
  }
  result.usage.prompt_tokens = static_cast<int>(in.integer());
  result.usage.completion_tokens = static_cast<int>(in.integer());
  result.usage.cached_tokens = result.usage.prompt_tokens;
  result.seed = static_cast<uint32_t>(in.varint());
  if (!in.done()) return std::nullopt;
  return result;
}

}  // namespace skep::agent
