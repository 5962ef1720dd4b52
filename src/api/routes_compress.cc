// POST /api/compress: a prompt made shorter, and what was left out. doc/api.md has it.

#include <boost/json.hpp>

#include "api/routes.h"
#include "api/wire/fields.h"
#include "api/wire/json_text.h"
#include "mind/language/compression.h"

namespace skep::api {
namespace {

using ExchangePtr = std::shared_ptr<Exchange>;
using language::Compressed;
namespace json = boost::json;

void refuse(Exchange& exchange, const ApiError& error) { exchange.respond(error_response(error, ErrorStyle::control)); }

std::string show(const Compressed& c, const std::string& method) {
  json::array pieces;
  for (const auto& piece : c.pieces) {
    json::object one{{"text", wire::valid_utf8(piece.text)}};
    if (piece.cut != nullptr) one["cut"] = piece.cut;
    pieces.push_back(std::move(one));
  }
  return wire::to_text(json::object{{"text", wire::valid_utf8(c.text())},
                                    {"method", method},
                                    {"tokens_before", c.tokens_before},
                                    {"tokens_after", c.tokens_after},
                                    {"reached", c.reached},
                                    {"pieces", std::move(pieces)}});
}

// "text", "tier" (fast), "ratio": the share of the tokens that may stay; without it the rules alone. "model" judges.
void compress(ApiContext& context, const ExchangePtr& exchange) {
  auto object = wire::parse_body(exchange->request().body);
  if (!object) return refuse(*exchange, object.error());
  std::optional<ApiError> error;
  wire::Fields body(*object, error);
  std::string text = body.required_text("text");
  const std::string tier_name = body.one_of("tier", {"fast", "balanced", "deep"}).value_or("fast");
  const auto ratio = body.number("ratio", 0.05, 1);
  const std::string model = body.text_or("model", "fast");
  if (error) return refuse(*exchange, *error);
  const auto tier = language::tier_from(tier_name).value_or(language::Tier::fast);
  if (!ratio) return exchange->respond(json_response(show(language::compress_by_rules(text, tier), "rules")));
  engine::Score score;
  score.text = text;
  context.backend.score(model, std::move(score), [exchange, text, ratio](Result<engine::Scores> scores) {
    if (!scores) return refuse(*exchange, ApiError{scores.error(), ""});
    const Compressed c = language::compress_by_information(text, scores->tokens, static_cast<double>(*ratio));
    exchange->respond(json_response(show(c, "information")));
  });
}

}  // namespace

void add_compress_routes(Router& router, ApiContext& context) {
  router.add({"POST", "/api/compress", Role::read, ErrorStyle::control,
              [&context](const ExchangePtr& exchange) { compress(context, exchange); }});
}

}  // namespace skep::api
