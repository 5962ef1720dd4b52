#include "api/wire/openai_embeddings.h"

#include <bit>
#include <boost/json.hpp>
#include <cmath>
#include <cstring>
#include <iterator>

#include "api/wire/base64.h"
#include "api/wire/json_text.h"

namespace skep::api::wire {

namespace json = boost::json;

namespace {

constexpr size_t kMostInputTokens = 1 << 20;

std::vector<engine::Token> read_tokens(Fields& body, const json::array& array) {
  std::vector<engine::Token> tokens;
  for (const auto& token : array) {
    if (!token.is_int64() || token.get_int64() < 0 || token.get_int64() > INT32_MAX) {
      body.bad("input", "must be a string, strings, token ids, or arrays of token ids");
      return {};
    }
    tokens.push_back(static_cast<engine::Token>(token.get_int64()));
  }
  if (tokens.empty() || tokens.size() > kMostInputTokens)
    body.bad("input", "must not be empty or longer than a model's context");
  return tokens;
}

void read_input(Fields& body, engine::Embed& input) {
  const json::value* value = body.find("input");
  const json::array* array = value == nullptr ? nullptr : value->if_array();
  bool token_ids = array != nullptr && !array->empty() && !array->front().is_string();
  if (!token_ids) {
    input.inputs = body.texts("input", kMostEmbedInputs);
    if (input.inputs.empty()) body.bad("input", "is required");
    for (const auto& text : input.inputs) {
      if (text.empty()) body.bad("input", "must not hold an empty string");
    }
  } else if (array->front().is_array()) {
    if (array->size() > kMostEmbedInputs) {
      body.bad("input", fmt::format("has {} elements, at most {} are possible", array->size(), kMostEmbedInputs));
      return;
    }
    for (const auto& element : *array) {
      input.token_inputs.push_back(read_tokens(body, element.is_array() ? element.get_array() : json::array()));
    }
  } else {
    input.token_inputs.push_back(read_tokens(body, *array));
  }
}

}  // namespace

Parsed<OpenAiEmbedRequest> parse_openai_embed(const HttpRequest& request) {
  auto object = parse_body(request.body);
  if (!object) return tl::unexpected(object.error());
  std::optional<ApiError> error;
  Fields body(*object, error);
  OpenAiEmbedRequest result;
  result.model = body.required_text("model");
  read_input(body, result.input);
  result.base64 = body.one_of("encoding_format", {"float", "base64"}) == "base64";
  result.dimensions = static_cast<int>(body.integer("dimensions", 1, 1 << 20).value_or(0));
  if (error) return tl::unexpected(*error);
  return result;
}

Status cut_dimensions(engine::Embeddings& embeddings, int dimensions) {
  if (dimensions == 0) return {};
  auto wanted = static_cast<size_t>(dimensions);
  for (auto& vector : embeddings.vectors) {
    if (vector.size() < wanted) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("dimensions: {} are asked for, the model has {}", dimensions, vector.size()));
    }
    vector.resize(wanted);
    double square = 0;
    for (float x : vector) square += static_cast<double>(x) * x;
    if (square == 0) continue;
    for (float& x : vector) x = static_cast<float>(x / std::sqrt(square));
  }
  return {};
}

void append_vector(std::string& out, const std::vector<float>& vector) {
  char separator = '[';
  for (float x : vector) {
    out += separator;
    separator = ',';
    if (std::isfinite(x)) {
      fmt::format_to(std::back_inserter(out), "{}", x);
    } else {
      out += "null";
    }
  }
  out += vector.empty() ? "[]" : "]";
}

std::string openai_embeddings(const Backend::EmbedAnswer& answer, bool as_base64) {
  static_assert(std::endian::native == std::endian::little, "base64 embeddings are little-endian");
  // Written by hand: thousands of floats as a tree of JSON values would take ten times the memory.
  std::string out = R"({"object":"list","data":[)";
  for (size_t i = 0; i < answer.embeddings.vectors.size(); ++i) {
    const auto& vector = answer.embeddings.vectors[i];
    if (i > 0) out += ',';
    fmt::format_to(std::back_inserter(out), R"({{"object":"embedding","index":{},"embedding":)", i);
    if (as_base64) {
      std::string_view bytes(reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float));
      out.append("\"").append(base64(bytes)).append("\"");
    } else {
      append_vector(out, vector);
    }
    out += '}';
  }
  int tokens = answer.embeddings.prompt_tokens;
  fmt::format_to(std::back_inserter(out), R"(],"model":{},"usage":{{"prompt_tokens":{},"total_tokens":{}}}}})",
                 to_text(json::value(answer.model)), tokens, tokens);
  return out;
}

}  // namespace skep::api::wire
