#include "engine/generator.h"

#include <algorithm>
#include <cassert>
#include <climits>
#include <utility>

namespace skep::engine {
namespace {

constexpr size_t kStopStrings = 16;
constexpr int kTopLogprobs = 20;
constexpr size_t kGrammarBytes = 256U << 10U;
constexpr int kPriorities = 4;

Status check(const Generate& request) {
  const auto invalid = [](std::string why) { return fail(ErrorCode::invalid_argument, std::move(why)); };
  if (request.max_tokens < 1) return invalid(fmt::format("max_tokens is {}, must be at least 1", request.max_tokens));
  if (request.stop.size() > kStopStrings) {
    return invalid(fmt::format("{} stop strings, at most {} are allowed", request.stop.size(), kStopStrings));
  }
  for (const std::string& stop : request.stop) {
    if (stop.empty()) return invalid("a stop string is empty");
  }
  if (request.top_logprobs < 0 || request.top_logprobs > kTopLogprobs) {
    return invalid(fmt::format("top_logprobs is {}, must be 0 to {}", request.top_logprobs, kTopLogprobs));
  }
  if (request.grammar.size() > kGrammarBytes) {
    return invalid(
        fmt::format("the grammar has {} bytes, at most {} are allowed", request.grammar.size(), kGrammarBytes));
  }
  if (request.priority < 0 || request.priority >= kPriorities) {
    return invalid(fmt::format("priority is {}, must be 0 to {}", request.priority, kPriorities - 1));
  }
  const Sampling& s = request.sampling;
  if (!(s.temperature >= 0) || !(s.top_p >= 0) || !(s.min_p >= 0 && s.min_p <= 1) || !(s.repeat_penalty > 0)) {
    return invalid("sampling: temperature and top_p must not be negative, min_p be 0 to 1, repeat_penalty be over 0");
  }
  return {};
}

}  // namespace

Generator::Generator(Forward& forward, const Vocabulary& vocabulary, const Clock& clock, GeneratorOptions options,
                     Emit emit)
    : forward_(forward),
      vocabulary_(vocabulary),
      clock_(clock),
      options_(options),
      emit_(std::move(emit)),
      cache_(forward, options.slots, clock, options.parking),
      seeds_(options.random_seed),
      slot_taken_(static_cast<size_t>(options.slots), false) {}

void Generator::start(RequestId id, Generate request) {
  auto sequence = prepare(id, std::move(request));
  if (!sequence) return emit_(id, Failed{sequence.error()});
  enqueue(std::move(*sequence));
}

Result<std::unique_ptr<Sequence>> Generator::prepare(RequestId id, Generate request) {
  SKEP_CHECK(check(request));
  if (waiting_.size() >= static_cast<size_t>(options_.waiting_limit)) {
    return fail(ErrorCode::overloaded, fmt::format("{} requests wait already", waiting_.size()));
  }
  std::string text;
  SKEP_TRY(std::vector<Token> tokens, prompt_of(request, text));
  const int prompt = static_cast<int>(tokens.size());
  const int context = std::min(forward_.limits().context_tokens, forward_.limits().cells);
  if (prompt == 0) return fail(ErrorCode::invalid_argument, "the prompt is empty");
  if (prompt >= context) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the prompt has {} tokens, the context of this engine {} with the answer", prompt, context),
                "shorten the conversation, or give the model a longer context");
  }
  std::unique_ptr<Grammar> grammar;
  if (!request.grammar.empty()) {
    SKEP_TRY(grammar, vocabulary_.grammar(request.grammar));
  }
  const auto seed =
      request.sampling.seed != 0 ? request.sampling.seed : static_cast<uint32_t>(seeds_.next() >> 32U) | 1U;
  const auto suppressed = request.ignore_eos ? vocabulary_.end_tokens() : std::span<const Token>();
  Sampler sampler(request.sampling, seed, suppressed);
  for (const Token token : tokens) sampler.accept(token);
  auto sequence = std::make_unique<Sequence>(id, std::move(request), std::move(tokens), std::move(sampler));
  sequence->prompt_text = std::move(text);
  sequence->room = std::min(sequence->request.max_tokens, context - prompt);
  sequence->grammar = std::move(grammar);
  sequence->arrived = clock_.now();
  return sequence;
}

Result<std::vector<Token>> Generator::prompt_of(const Generate& request, std::string& text) {
  const bool chat = !request.messages.empty();
  std::string prompt = request.prompt;
  if (chat) {
    SKEP_TRY(prompt, vocabulary_.render(request.messages));
  }
  prompt += request.assistant_prefix;
  const bool special = chat || request.add_special;
  if (request.sequence_key.empty()) return vocabulary_.tokenize(prompt, special, true);
  auto tokens = memo_.tokenize(vocabulary_, request.share_scope + '\n' + request.sequence_key, prompt, special);
  text = std::move(prompt);
  return tokens;
}

void Generator::enqueue(std::unique_ptr<Sequence> sequence) {
  const auto after = std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& other) {
    return std::pair(other->request.priority, other->arrived) >
           std::pair(sequence->request.priority, sequence->arrived);
  });
  waiting_.insert(after, std::move(sequence));
}

void Generator::cancel(RequestId id) {
  for (List* list : {&running_, &waiting_}) {
    for (const auto& sequence : *list) {
      if (sequence->id == id) return finish(*sequence, FinishReason::cancelled);
    }
  }
}

bool Generator::step() {
  admit();
  if (running_.empty()) return false;
  Batch batch = build_batch();
  // fits() set cells aside, but what was found then may have been evicted for want of an id. The last one steps back.
  while (!cache_.make_room(batch.prompt_tokens + batch.stream_tokens)) {
    Sequence& last = *running_.back();
    if (running_.size() == 1)
      return fail_sequence(last, {ErrorCode::internal, "no free cells in the KV cache", {}}), true;
    suspend(last);
    batch = build_batch();
  }
  const TimePoint before = clock_.now();
  const Status done = forward_.step(batch.slices);
  if (!done && done.error().code == ErrorCode::cancelled) return true;  // whoever cancelled says what comes next
  if (!done) {
    for (Sequence* sequence : batch.sequences) fail_sequence(*sequence, done.error());
    return true;
  }
  times_.record(batch.stream_tokens, batch.prompt_tokens, clock_.now() - before);
  settle(batch);
  return true;
}

Generator::Batch Generator::build_batch() {
  std::vector<Sequence*> order;
  for (const auto& sequence : running_) order.push_back(sequence.get());
  std::stable_sort(order.begin(), order.end(),
                   [](const Sequence* a, const Sequence* b) { return a->request.priority < b->request.priority; });
  std::vector<BatchCandidate> candidates;
  int streams = 0;
  bool critical_prompt = false;
  for (const Sequence* s : order) {
    candidates.push_back({s->pending(), s->in_prompt()});
    streams += s->in_prompt() ? 0 : 1;
    critical_prompt |= s->in_prompt() && s->request.priority == 0;
  }
  const int budget = critical_prompt ? INT_MAX : times_.prompt_budget(streams);
  const auto plan = plan_batch(candidates, forward_.limits().batch_tokens, budget, rotation_++);
  Batch batch;
  int rows = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    Sequence& s = *order[i];
    const bool later = critical_prompt && candidates[i].prompt && s.request.priority != 0;
    if (plan[i] == 0 || later) continue;
    const bool last = plan[i] == s.pending();
    if (last && rows == forward_.limits().output_rows) continue;
    rows += last ? 1 : 0;
    batch.slices.push_back({*s.slot, s.evaluated,
                            std::span(s.tokens).subspan(static_cast<size_t>(s.evaluated), static_cast<size_t>(plan[i])),
                            last ? 1 : 0});
    batch.sequences.push_back(&s);
    (candidates[i].prompt ? batch.prompt_tokens : batch.stream_tokens) += plan[i];
  }
  return batch;
}

void Generator::settle(const Batch& batch) {
  prompt_evaluated_ += batch.prompt_tokens;
  int row = 0;
  for (size_t i = 0; i < batch.slices.size(); ++i) {
    Sequence& sequence = *batch.sequences[i];
    const Slice& slice = batch.slices[i];
    const int count = static_cast<int>(slice.tokens.size());
    const int outputs = slice.outputs;  // the slice's tokens dangle once a token is added
    sequence.evaluated += count;
    cache_.advance(*sequence.slot, count);
    if (outputs > 0) sample(sequence, row);
    row += outputs;
  }
}

void Generator::sample(Sequence& sequence, int row) {
  const auto logits = forward_.logits(row);
  const auto token = sequence.sampler.sample(logits, sequence.grammar.get());
  if (sequence.generated == 0) sequence.first_token = clock_.now();
  // Without a token the grammar is complete (and an end token suppressed), so the answer is.
  if (!token || vocabulary_.ends_generation(*token)) return finish(sequence, FinishReason::stop);
  add_token(sequence, *token, logits);
}

void Generator::add_token(Sequence& sequence, Token token, std::span<const float> logits) {
  sequence.tokens.push_back(token);
  ++sequence.generated;
  ++generated_;
  sequence.sampler.accept(token);
  if (sequence.grammar) {
    if (auto accepted = sequence.grammar->accept(token); !accepted) return fail_sequence(sequence, accepted.error());
  }
  std::optional<TokenLogprob> logprob;
  if (sequence.request.logprobs) {
    const Logprobs found = logprobs_of(logits, token, sequence.request.top_logprobs);
    logprob.emplace(TokenLogprob{vocabulary_.piece(token), found.logprob, {}});
    for (const auto& [other, value] : found.top) logprob->top.emplace_back(vocabulary_.piece(other), value);
  }
  if (auto piece = sequence.answer.add(vocabulary_.piece(token), std::move(logprob))) {
    emit_(sequence.id, std::move(*piece));
  }
  if (sequence.answer.stopped()) return finish(sequence, FinishReason::stop);
  if (sequence.generated == sequence.room) finish(sequence, FinishReason::length);
}

void Generator::finish(Sequence& sequence, FinishReason reason) {
  const TimePoint now = clock_.now();
  if (auto rest = sequence.answer.finish()) emit_(sequence.id, std::move(*rest));
  Finished finished;
  finished.reason = reason;
  finished.usage = {sequence.prompt_tokens, sequence.cached, sequence.generated};
  finished.seed = sequence.sampler.seed();
  const TimePoint started = sequence.started == TimePoint{} ? now : sequence.started;
  const TimePoint first = sequence.first_token == TimePoint{} ? now : sequence.first_token;
  finished.waited = started - sequence.arrived;
  finished.prefill = first - started;
  finished.decode = now - first;
  if (!sequence.request.sequence_key.empty() && sequence.generated > 0 && reason != FinishReason::cancelled) {
    memo_.remember(sequence.request.share_scope + '\n' + sequence.request.sequence_key,
                   sequence.prompt_text + sequence.answer.text(), sequence.tokens);
  }
  if (sequence.slot) {
    cache_.publish(*sequence.slot, sequence.request.share_scope, sequence.evaluated_tokens());
    leave_slot(sequence);
  }
  const RequestId id = sequence.id;
  remove(sequence);
  emit_(id, finished);
}

void Generator::fail_sequence(Sequence& sequence, Error error) {
  if (sequence.slot) leave_slot(sequence);
  const RequestId id = sequence.id;
  remove(sequence);
  emit_(id, Failed{std::move(error)});
}

void Generator::leave_slot(Sequence& sequence) {
  cache_.release(*sequence.slot);
  slot_taken_[static_cast<size_t>(*sequence.slot)] = false;
  sequence.slot.reset();
}

void Generator::remove(Sequence& sequence) {
  for (List* list : {&running_, &waiting_}) {
    list->remove_if([&](const auto& other) { return other.get() == &sequence; });
  }
}

Heartbeat Generator::heartbeat() const {
  return {static_cast<int>(running_.size()),
          static_cast<int>(waiting_.size()),
          cache_.used_cells(),
          prompt_evaluated_,
          generated_,
          times_.mean_step_seconds()};
}

}  // namespace skep::engine
