#include "api/wire/ollama_context.h"

#include <boost/json.hpp>

#include "api/wire/json_text.h"
#include "base/json.h"

namespace skep::api::wire {

namespace json = boost::json;

namespace {

constexpr int64_t kMagic = 0x736b70;
constexpr int64_t kVersion = 1;
constexpr size_t kHead = 3;

// unset: not ours.
std::optional<std::string> unpack(const json::array& context) {
  for (const auto& element : context) {
    if (!element.is_int64() || element.get_int64() < 0 || element.get_int64() > 0xFFFFFF) return std::nullopt;
  }
  if (context.size() < kHead || context[0].get_int64() != kMagic || context[1].get_int64() != kVersion) {
    return std::nullopt;
  }
  auto length = static_cast<size_t>(context[2].get_int64());
  if ((length + 2) / 3 != context.size() - kHead) return std::nullopt;
  std::string text;
  text.reserve(length + 2);
  for (size_t i = kHead; i < context.size(); ++i) {
    int64_t packed = context[i].get_int64();
    for (int shift : {16, 8, 0}) text += static_cast<char>(packed >> shift & 0xFF);
  }
  text.resize(length);
  return text;
}

std::optional<std::vector<language::Message>> conversation_of(const std::string& text) {
  auto value = parse_json(text, "context");
  if (!value || !value->is_array()) return std::nullopt;
  std::vector<language::Message> messages;
  for (const auto& element : value->get_array()) {
    const auto* pair = element.if_array();
    if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_string() || !(*pair)[1].is_string()) return std::nullopt;
    language::Message message;
    message.role = (*pair)[0].get_string().c_str();
    message.content = std::string((*pair)[1].get_string().data(), (*pair)[1].get_string().size());
    if (message.role != "system" && message.role != "user" && message.role != "assistant") return std::nullopt;
    messages.push_back(std::move(message));
  }
  return messages;
}

}  // namespace

std::vector<language::Message> read_ollama_context(Fields& body) {
  const auto* value = body.find("context");
  if (value == nullptr) return {};
  const auto* context = value->if_array();
  if (context != nullptr && context->empty()) return {};
  auto text = context == nullptr ? std::nullopt : unpack(*context);
  auto messages = text ? conversation_of(*text) : std::nullopt;
  if (!messages) body.bad("context", "must be the context of an earlier answer of this server");
  return messages.value_or(std::vector<language::Message>());
}

json::array ollama_context(const std::vector<language::Message>& conversation) {
  json::array messages;
  for (const auto& message : conversation) messages.push_back(json::array{message.role, message.content});
  std::string text = to_text(messages);
  json::array context{kMagic, kVersion, static_cast<int64_t>(text.size())};
  for (size_t i = 0; i < text.size(); i += 3) {
    int64_t packed = 0;
    for (size_t j = i; j < i + 3; ++j)
      packed = packed << 8 | (j < text.size() ? static_cast<unsigned char>(text[j]) : 0);
    context.emplace_back(packed);
  }
  return context;
}

}  // namespace skep::api::wire
