#include "mind/language/complexity.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>

#include "mind/language/words.h"

namespace skep::language {
namespace {

constexpr double kSharpness = 1.8;

// A cue that speaks for (or, negative, against) a factor. Of one group only the strongest that occurs counts; the
// groups then add up towards 1: 1 - (1 - a)(1 - b)…, so that many weak cues never outweigh their kind.
struct Cue {
  std::string_view text;
  double strength;
};
struct Group {
  const char* reason;
  std::span<const Cue> cues;
};

constexpr Cue kProof[] = {{"prove", 0.75},    {"proof", 0.75},     {"derive", 0.65},         {"derivation", 0.65},
                          {"theorem", 0.6},   {"lemma", 0.7},      {"counterexample", 0.65}, {"by induction", 0.7},
                          {"formally", 0.45}, {"invariant*", 0.5}, {"complexity class", 0.6}};
constexpr Cue kSteps[] = {
    {"step by step", 0.5}, {"think carefully", 0.5}, {"first", 0.15},   {"then", 0.12},           {"finally", 0.15},
    {"multi step", 0.5},   {"reason through", 0.5},  {"chain of", 0.3}, {"walk me through", 0.4}, {"each stage", 0.35}};
constexpr Cue kJudge[] = {{"trade offs", 0.55}, {"tradeoffs", 0.55}, {"trade off", 0.55}, {"pros and cons", 0.45},
                          {"compare", 0.4},     {"contrast", 0.4},   {"evaluate", 0.45},  {"critique", 0.5},
                          {"assess*", 0.4},     {"versus", 0.3},     {"justify", 0.5},    {"which is better", 0.35},
                          {"recommend*", 0.35}, {"prioriti*", 0.35}, {"argue", 0.45},     {"implications", 0.45},
                          {"ethical*", 0.4}};
constexpr Cue kDesign[] = {
    {"architect*", 0.6}, {"design a", 0.55},  {"design an", 0.55},      {"design the", 0.55},  {"strategy", 0.4},
    {"roadmap", 0.4},    {"plan for", 0.35},  {"migration plan", 0.55}, {"optimi*", 0.4},      {"root cause", 0.55},
    {"diagnos*", 0.5},   {"debug*", 0.4},     {"race condition", 0.6},  {"deadlock*", 0.55},   {"fault tolerant", 0.5},
    {"implement", 0.35}, {"refactor*", 0.35}, {"algorithm", 0.4},       {"threat model", 0.6}, {"troubleshoot*", 0.45}};
constexpr Cue kWhy[] = {{"why", 0.25},      {"explain", 0.25},    {"how does", 0.22}, {"how do", 0.2},
                        {"how would", 0.3}, {"what if", 0.35},    {"analy*", 0.35},   {"interpret", 0.35},
                        {"calculate", 0.3}, {"solve", 0.4},       {"infer", 0.4},     {"hypothes*", 0.45},
                        {"cause*", 0.25},   {"consequences", 0.4}};
constexpr Cue kRules[] = {{"must not", 0.25},   {"constraints", 0.35}, {"subject to", 0.45}, {"without using", 0.3},
                          {"at most", 0.25},    {"at least", 0.2},     {"given that", 0.3},  {"assuming", 0.3},
                          {"edge cases", 0.35}, {"requirements", 0.25}};
constexpr Group kReasoning[] = {{"asks for a proof or derivation", kProof},
                                {"asks for several steps", kSteps},
                                {"asks to weigh and judge", kJudge},
                                {"asks for a design or a diagnosis", kDesign},
                                {"asks why or how", kWhy},
                                {"states constraints", kRules}};

constexpr Cue kLong[] = {
    {"essay", 0.75},          {"report", 0.55},       {"article", 0.65},  {"in detail", 0.5},
    {"detailed", 0.5},        {"comprehensive", 0.7}, {"thorough*", 0.6}, {"full implementation", 0.8},
    {"complete", 0.35},       {"long", 0.3},          {"chapter", 0.8},   {"guide", 0.55},
    {"tutorial", 0.65},       {"specification", 0.7}, {"document*", 0.4}, {"in depth", 0.65},
    {"walk me through", 0.5}, {"end to end", 0.5},    {"plan", 0.4},      {"story", 0.45}};
constexpr Cue kSome[] = {{"write", 0.3},    {"explain", 0.3}, {"describe", 0.3},   {"implement", 0.5},
                         {"function", 0.3}, {"class", 0.3},   {"design", 0.5},     {"prove", 0.5},
                         {"compare", 0.4},  {"list", 0.2},    {"table", 0.25},     {"examples", 0.25},
                         {"analy*", 0.4},   {"derive", 0.5},  {"refactor*", 0.45}, {"code", 0.3}};
constexpr Cue kShort[] = {
    {"yes or no", 1},  {"one word", 1},       {"single word", 1}, {"one sentence", 0.8}, {"briefly", 0.6},
    {"in short", 0.6}, {"only the", 0.6},     {"just the", 0.6},  {"true or false", 1},  {"classify", 0.7},
    {"tl dr", 0.6},    {"short answer", 0.7}, {"extract", 0.5},   {"answer only", 0.9},  {"what is the capital", 0.7}};

constexpr Cue kMedicine[] = {{"diagnosis", 0.6}, {"patient", 0.5},   {"symptom*", 0.5}, {"clinical", 0.6},
                             {"dosage", 0.6},    {"pathology", 0.7}, {"pharmac*", 0.6}, {"genom*", 0.7},
                             {"protein", 0.5},   {"enzyme", 0.5},    {"epidemi*", 0.6}};
constexpr Cue kLaw[] = {{"contract", 0.4},    {"liability", 0.6},  {"gdpr", 0.6},       {"jurisdiction", 0.7},
                        {"statut*", 0.6},     {"compliance", 0.5}, {"regulat*", 0.45},  {"tax", 0.4},
                        {"derivatives", 0.6}, {"amorti*", 0.6},    {"cash flow", 0.55}, {"valuation", 0.6},
                        {"portfolio", 0.5}};
constexpr Cue kMath[] = {{"theorem", 0.8},         {"integral", 0.7},       {"eigenvalue*", 0.85}, {"derivative", 0.6},
                         {"matrix", 0.6},          {"bayes*", 0.75},        {"probability", 0.5},  {"stochastic", 0.8},
                         {"differential", 0.7},    {"prime*", 0.6},         {"topolog*", 0.8},     {"polynomial", 0.65},
                         {"np hard", 0.85},        {"asymptotic", 0.75},    {"regression", 0.6},   {"variance", 0.55},
                         {"quantum", 0.75},        {"thermodynamic*", 0.7}, {"entropy", 0.65},     {"irrational", 0.7},
                         {"infinitely many", 0.6}, {"convex", 0.7}};
constexpr Cue kSystems[] = {
    {"distributed", 0.7},  {"consensus", 0.75},     {"raft", 0.7},        {"paxos", 0.85},
    {"kubernetes", 0.6},   {"microservice*", 0.55}, {"sharding", 0.7},    {"replication", 0.65},
    {"linearizab*", 0.9},  {"concurren*", 0.65},    {"lock free", 0.85},  {"mutex", 0.65},
    {"kernel", 0.6},       {"compiler", 0.65},      {"latency", 0.5},     {"throughput", 0.5},
    {"database", 0.4},     {"transaction*", 0.5},   {"cache", 0.4},       {"race condition", 0.7},
    {"tcp", 0.5},          {"memory leak", 0.6},    {"idempoten*", 0.65}, {"event sourcing", 0.7},
    {"multi tenant", 0.6}, {"fault tolerant", 0.7}};
constexpr Cue kSecurity[] = {{"cryptograph*", 0.75}, {"encryption", 0.55},   {"exploit*", 0.65},
                             {"vulnerabilit*", 0.6}, {"threat model", 0.75}, {"authentication", 0.5},
                             {"oauth", 0.55},        {"zero trust", 0.65},   {"buffer overflow", 0.75},
                             {"side channel", 0.85}, {"injection", 0.55}};
constexpr Cue kCode[] = {{"function", 0.25},
                         {"python", 0.3},
                         {"javascript", 0.3},
                         {"typescript", 0.3},
                         {"rust", 0.45},

                         {"java", 0.3},
                         {"sql", 0.35},
                         {"regex", 0.35},
                         {"api", 0.3},
                         {"algorithm", 0.45},
                         {"unit test*", 0.3},
                         {"docker*", 0.35},
                         {"refactor*", 0.4},
                         {"async", 0.45},
                         {"recursion", 0.45},
                         {"data structure*", 0.45},
                         {"template", 0.3},
                         {"stack trace", 0.45},
                         {"neural", 0.55},
                         {"transformer", 0.55},
                         {"gradient", 0.6},
                         {"machine learning", 0.5}};
constexpr Group kExpertise[] = {
    {"medicine or biology", kMedicine}, {"law or finance", kLaw}, {"mathematics or physics", kMath},
    {"systems engineering", kSystems},  {"security", kSecurity},  {"programming", kCode}};

double strongest(const Words& words, std::span<const Cue> cues) {
  double most = 0;
  for (const Cue& cue : cues) {
    if (cue.strength > most && words.has(cue.text)) most = cue.strength;
  }
  return most;
}

void add(double& factor, double strength) { factor = 1 - (1 - factor) * (1 - std::clamp(strength, 0.0, 1.0)); }

struct Seen {
  double weight;
  std::string reason;
};

double from_groups(const Words& words, std::span<const Group> groups, double weight, std::vector<Seen>& seen) {
  double factor = 0;
  for (const Group& group : groups) {
    const double strength = strongest(words, group.cues);
    if (strength > 0) seen.push_back({weight * strength, group.reason});
    add(factor, strength);
  }
  return factor;
}

double reasoning(const Words& words, double weight, std::vector<Seen>& seen) {
  double factor = from_groups(words, kReasoning, weight, seen);
  if (words.formulas() >= 2) {
    add(factor, std::min(0.4, 0.1 * words.formulas()));
    seen.push_back({weight * 0.3, "contains formulas"});
  }
  if (words.questions() + words.items() >= 3) {
    add(factor, std::min(0.4, 0.08 * (words.questions() + words.items())));
    seen.push_back({weight * 0.3, "has several parts"});
  }
  // A long wording is seldom simple; a question of five words with one cue seldom hard.
  add(factor, std::min(0.25, static_cast<double>(words.count()) / 1200));
  return factor;
}

// 0 up to 100 tokens, 1 at 32000, logarithmic between.
double context(int tokens) { return std::clamp(std::log(std::max(1, tokens) / 100.0) / std::log(320.0), 0.0, 1.0); }

double output(const Request& request, const Words& words, double weight, std::vector<Seen>& seen) {
  double factor = 0.05;
  const double some = strongest(words, kSome), long_form = strongest(words, kLong);
  add(factor, some);
  add(factor, long_form);
  if (long_form > 0) seen.push_back({weight * long_form, "asks for a long answer"});
  if (words.largest_number() >= 100 && (words.has("words") || words.has("lines") || words.has("pages"))) {
    add(factor, std::min(1.0, words.largest_number() / 1000.0));
    seen.push_back({weight * 0.8, "names the answer's length"});
  }
  const double short_form = strongest(words, kShort);
  if (short_form > 0) {
    factor *= 1 - short_form;
    seen.push_back({weight * short_form, "asks for a short answer"});
  }
  // The caller's own bound counts: nobody writes an essay in 50 tokens.
  if (request.overrides.max_tokens) factor = std::min(factor, *request.overrides.max_tokens / 1500.0);
  return factor;
}

}  // namespace

int estimate_tokens(std::string_view text) {
  const auto other = std::count_if(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; });
  const auto ascii = static_cast<double>(text.size()) - static_cast<double>(other);
  return static_cast<int>(std::ceil(std::min(ascii / 4 + static_cast<double>(other) / 2.5, 1e9)));
}

int estimate_tokens(const Request& request) {
  int64_t tokens = estimate_tokens(request.prompt);
  for (const Message& message : request.messages) {
    tokens += estimate_tokens(message.content) + 4;
    for (const ToolCall& call : message.tool_calls) tokens += estimate_tokens(call.arguments) + 12;
  }
  for (const Tool& tool : request.tools)
    tokens += estimate_tokens(tool.description) + estimate_tokens(tool.parameters) + 20;
  return static_cast<int>(std::min<int64_t>(tokens, 1'000'000'000));
}

Complexity complexity_of(const Request& request, const FactorWeights& weights) {
  std::string_view asked = request.prompt;
  for (auto it = request.messages.rbegin(); it != request.messages.rend(); ++it) {
    if (it->role != "user") continue;
    asked = it->content;
    break;
  }
  const Words words(asked);
  std::vector<Seen> seen;
  Complexity complexity;
  auto& [depth, size, answer, expertise] = complexity.factors;
  depth = reasoning(words, weights[0], seen);
  const int tokens = estimate_tokens(request);
  size = context(tokens);
  if (size > 0.3) seen.push_back({weights[1] * size, "about " + std::to_string(tokens) + " tokens to read"});
  answer = output(request, words, weights[2], seen);
  expertise = from_groups(words, kExpertise, weights[3], seen);
  if (words.code_block()) {
    add(expertise, 0.35);
    seen.push_back({weights[3] * 0.35, "contains source code"});
  }
  if (!request.tools.empty()) {
    add(depth, std::min(0.3, 0.1 + 0.03 * static_cast<double>(request.tools.size())));
    seen.push_back({weights[0] * 0.2, "may call tools"});
  }

  double all = 0, simple = 1;
  for (const double each : weights) all += each;
  for (size_t i = 0; i < kFactors && all > 0; ++i) {
    simple *= std::pow(1 - std::min(0.99, complexity.factors.at(i)), kSharpness * weights.at(i) / all);
  }
  complexity.score = 1 - simple;
  std::stable_sort(seen.begin(), seen.end(), [](const Seen& a, const Seen& b) { return a.weight > b.weight; });
  for (size_t i = 0; i < std::min<size_t>(4, seen.size()); ++i) complexity.reasons.push_back(std::move(seen[i].reason));
  return complexity;
}

}  // namespace skep::language
