#include "api/wire/openai_sampling.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>

namespace skep::api::wire {

namespace {

constexpr size_t kMostBiases = 1024;

void read_logit_bias(Fields& body, language::Overrides& overrides) {
  const auto* value = body.find("logit_bias");
  if (value == nullptr) return;
  const auto* object = value->if_object();
  if (object == nullptr || object->size() > kMostBiases) {
    body.bad("logit_bias", "must be an object of at most 1024 token ids");
    return;
  }
  for (const auto& [key, bias] : *object) {
    engine::Token token = 0;
    auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    double amount = bias.is_number() ? bias.to_number<double>() : 1000;
    if (error != std::errc() || end != key.data() + key.size() || token < 0 || amount < -100 || amount > 100) {
      body.bad("logit_bias", "must map token ids to numbers between -100 and 100");
      return;
    }
    overrides.logit_bias.emplace_back(token, static_cast<float>(amount));
  }
}

}  // namespace

void read_sampling(Fields& body, language::Request& input) {
  auto& overrides = input.overrides;
  overrides.temperature = body.number("temperature", 0, 2);
  overrides.top_p = body.number("top_p", 0, 1);
  overrides.min_p = body.number("min_p", 0, 1);
  overrides.presence_penalty = body.number("presence_penalty", -2, 2);
  overrides.frequency_penalty = body.number("frequency_penalty", -2, 2);
  overrides.repeat_penalty =
      body.number(body.has("repetition_penalty") ? "repetition_penalty" : "repeat_penalty", 0, 10);
  if (auto top_k = body.integer("top_k", -1, 1 << 20)) overrides.top_k = static_cast<int>(std::max<int64_t>(0, *top_k));
  // Seeds of any size are taken; the sampler has 32 bits.
  if (auto seed = body.integer("seed", INT64_MIN, INT64_MAX)) overrides.seed = static_cast<uint32_t>(*seed);
  overrides.ignore_eos = body.boolean("ignore_eos").value_or(false);
  read_logit_bias(body, overrides);
  input.stop = body.texts("stop", kMostStops);
  for (const std::string& stop : input.stop) {
    if (stop.empty()) body.bad("stop", "must not hold an empty string");
  }
}

}  // namespace skep::api::wire
