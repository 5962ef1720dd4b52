#include "engine/generator.h"

#include <algorithm>
#include <cassert>
#include <climits>
#include <set>
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
      public_(vocabulary),
      adapters_(forward, options.adapter_memory),
      seeds_(options.random_seed),
      slot_taken_(static_cast<size_t>(options.slots), false) {}

void Generator::start(RequestId id, Generate request) {
  auto sequence = prepare(id, std::move(request));
  if (!sequence) return emit_(id, Failed{sequence.error()});
  enqueue(std::move(*sequence));
}

// Goes its way as a request for one token does, but its cells are its own: a token that was taken over has no logits.
void Generator::score(RequestId id, const Score& request) {
  Generate as;
  as.prompt = request.text;
  as.add_special = request.add_special;
  as.max_tokens = 1;
  as.priority = request.priority;
  auto sequence = prepare(id, std::move(as));
  if (!sequence) return emit_(id, Failed{sequence.error()});
  (*sequence)->scores.emplace();
  enqueue(std::move(*sequence));
}

Result<std::unique_ptr<Sequence>> Generator::prepare(RequestId id, Generate request) {
  SKEP_CHECK(check(request));
  if (waiting_.size() >= static_cast<size_t>(options_.waiting_limit)) {
    return fail(ErrorCode::overloaded, fmt::format("{} requests wait already", waiting_.size()));
  }
  std::string text;
  SKEP_TRY(std::vector<Token> tokens, prompt_of(request, text));
  const int answered = static_cast<int>(request.answered.size());
  const int prompt = static_cast<int>(tokens.size()) + answered;
  const int context = std::min(forward_.limits().context_tokens, forward_.limits().cells);
  if (prompt == 0) return fail(ErrorCode::invalid_argument, "the prompt is empty");
  if (prompt >= context) {
    return fail(ErrorCode::context_overflow,
                fmt::format("the prompt has {} tokens, the context of this engine {} with the answer", prompt, context),
                "shorten the conversation, or give the model a longer context");
  }
  std::unique_ptr<Grammar> grammar;
  if (!request.grammar.empty()) {
    SKEP_TRY(grammar, vocabulary_.grammar(request.grammar));
  }
  SKEP_TRY(AdapterShelf::Hold adapter, adapters_.take(request.adapter));
  const auto seed =
      request.sampling.seed != 0 ? request.sampling.seed : static_cast<uint32_t>(seeds_.next() >> 32U) | 1U;
  const auto suppressed = request.ignore_eos ? vocabulary_.end_tokens() : std::span<const Token>();
  Sampler sampler(request.sampling, seed, suppressed);
  for (const Token token : tokens) sampler.accept(token);
  auto sequence = std::make_unique<Sequence>(id, std::move(request), std::move(tokens), std::move(sampler));
  Scope& scope = sequence->scope;
  scope.own = sequence->request.share_scope;
  scope.owner = sequence->request.sequence_key;
  scope.open_tokens = public_.count(sequence->request, sequence->tokens);
  if (scope.open_tokens > 0) scope.open = kPublicScope;
  if (adapter.id() != 0) {
    const std::string with = fmt::format("\n{}|{}", adapter.key(), sequence->request.adapter_scale);
    scope.own += with;
    if (scope.open_tokens > 0) scope.open += with;
  }
  sequence->adapter = std::move(adapter);
  sequence->prompt_text = std::move(text);
  sequence->room = std::min(sequence->request.max_tokens, context - prompt);
  sequence->grammar = std::move(grammar);
  SKEP_CHECK(resume(*sequence));
  sequence->arrived = clock_.now();
  return sequence;
}

// Brings the sequence to where the earlier worker left it. What it said is said already.
Status Generator::resume(Sequence& sequence) {
  for (const Token token : sequence.request.answered) {
    if (token < 0 || token >= vocabulary_.size()) {
      return fail(ErrorCode::invalid_argument, fmt::format("answered: there is no token {}", token));
    }
    sequence.tokens.push_back(token);
    sequence.sampler.replay(token);
    if (sequence.grammar) SKEP_CHECK(sequence.grammar->accept(token));
    (void)sequence.answer.add(token, vocabulary_.piece(token), {});
  }
  sequence.answered = static_cast<int>(sequence.request.answered.size());
  sequence.prompt_tokens = static_cast<int>(sequence.tokens.size());
  if (sequence.answer.stopped()) return fail(ErrorCode::invalid_argument, "answered: it is complete already");
  return {};
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

void Generator::cancel_all() {
  for (List* list : {&running_, &waiting_}) {
    while (!list->empty()) finish(*list->front(), FinishReason::cancelled);
  }
}

bool Generator::step() {
  step_tokens_ = 0;
  admit();
  if (running_.empty()) return false;
  Batch batch = build_batch();
  // fits() set cells aside, but what was found then may have been evicted for want of an id. The last one steps back.
  while (!cache_.make_room(batch.prompt_tokens + batch.stream_tokens)) {
    Sequence& last = *running_.back();
    if (running_.size() == 1)
      return fail_sequence(last, {ErrorCode::internal, "no free cells in the KV cache", {}}), true;
    for (Sequence* s : batch.sequences) drop_draft(*s);
    suspend(last);
    batch = build_batch();
  }
  const TimePoint before = clock_.now();
  forward_.use_adapter(batch.adapter, batch.adapter_scale);
  const Status done = forward_.step(batch.slices);
  if (!done) {
    for (Sequence* s : batch.sequences) drop_draft(*s);
  }
  if (!done && done.error().code == ErrorCode::cancelled) return true;  // whoever cancelled says what comes next
  if (!done) {
    for (Sequence* sequence : batch.sequences) fail_sequence(*sequence, done.error());
    return true;
  }
  step_tokens_ = batch.stream_tokens + batch.prompt_tokens;
  // To the clock a guess is one more token, as those of prompts are.
  times_.record(batch.stream_tokens - batch.draft_tokens, batch.prompt_tokens + batch.draft_tokens,
                clock_.now() - before);
  settle(batch);
  return true;
}

Generator::Batch Generator::build_batch() {
  std::vector<Sequence*> order;
  for (const auto& sequence : running_) order.push_back(sequence.get());
  std::stable_sort(order.begin(), order.end(),
                   [](const Sequence* a, const Sequence* b) { return a->request.priority < b->request.priority; });
  keep_one_adapter(order);
  std::vector<BatchCandidate> candidates;
  int streams = 0;
  bool critical_prompt = false;
  bool urgent_stream = false;
  for (const Sequence* s : order) {
    streams += s->in_prompt() ? 0 : 1;
    urgent_stream |= !s->in_prompt() && s->request.priority <= 1;
    critical_prompt |= s->in_prompt() && s->request.priority == 0;
  }
  const int drafts = critical_prompt ? 0 : draft_limit(streams);
  const double cost = streams * times_.prompt_token_seconds() / std::max(1e-9, times_.stream_step_seconds());
  for (Sequence* s : order) {
    const bool prompt = s->in_prompt();
    if (!prompt) add_draft(*s, drafts, cost);
    candidates.push_back({s->pending(), prompt});
  }
  const bool backlog = !waiting_.empty() && !urgent_stream;
  const int budget = times_.prompt_budget(streams, critical_prompt ? StepTimes::Prompts::critical
                                                   : backlog       ? StepTimes::Prompts::backlog
                                                                   : StepTimes::Prompts::ordinary);
  const auto plan = plan_batch(candidates, forward_.limits().batch_tokens, budget, rotation_++);
  Batch batch;
  if (!order.empty()) {
    batch.adapter = order.front()->adapter.id();
    batch.adapter_scale = order.front()->request.adapter_scale;
  }
  int rows = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    Sequence& s = *order[i];
    const bool later = critical_prompt && candidates[i].prompt && s.request.priority != 0;
    int tokens = plan[i];
    int outputs = tokens == s.pending() ? 1 + s.draft : 0;
    if (s.scores) outputs = tokens = std::min(tokens, forward_.limits().output_rows - rows);
    if (tokens == 0 || later || rows + outputs > forward_.limits().output_rows) {
      drop_draft(s);
      continue;
    }
    rows += outputs;
    batch.slices.push_back({*s.slot, s.evaluated,
                            std::span(s.tokens).subspan(static_cast<size_t>(s.evaluated), static_cast<size_t>(tokens)),
                            outputs});
    batch.sequences.push_back(&s);
    batch.draft_tokens += s.draft;
    (candidates[i].prompt ? batch.prompt_tokens : batch.stream_tokens) += tokens;
  }
  return batch;
}

// A step computes with one adapter. That of a critical sequence goes first, else they take turns.
void Generator::keep_one_adapter(std::vector<Sequence*>& order) {
  const auto adapter_of = [](const Sequence* s) { return std::pair(s->adapter.id(), s->request.adapter_scale); };
  std::set<std::pair<AdapterId, float>> present;
  for (const Sequence* s : order) present.insert(adapter_of(s));
  if (present.empty()) return;
  auto chosen = present.upper_bound(last_adapter_);
  if (chosen == present.end()) chosen = present.begin();
  last_adapter_ = order.front()->request.priority == 0 ? adapter_of(order.front()) : *chosen;
  std::erase_if(order, [&](const Sequence* s) { return adapter_of(s) != last_adapter_; });
}

// Drafts pay while streams are few: a step with many is bound by computing, and every token more costs its share.
int Generator::draft_limit(int streams) const {
  if (!options_.drafts || streams == 0 || !forward_.limits().can_truncate) return 0;
  const int rows = forward_.limits().output_rows / streams - 1;
  return std::clamp(rows, 0, Drafts::kLongest);
}

// Puts guesses behind the token that is to be evaluated.
void Generator::add_draft(Sequence& sequence, int most, double cost) {
  // The last token of an answer needs no successor, and cells are set aside for the answer alone.
  most = std::min(most, sequence.room - sequence.generated - 1);
  if (most < 1 || !sequence.luck.pays(cost)) return;
  std::vector<Token> forced;
  if (sequence.grammar) {
    constexpr size_t kBytes = 48;  // of a draft of a few tokens
    const std::string text = sequence.grammar->forced(kBytes);
    if (!text.empty()) forced = vocabulary_.tokenize(text, false, false).value_or(std::vector<Token>());
  }
  Drafts::Guess guess = drafts_.guess(sequence.request.share_scope, sequence.tokens, forced, most, cost);
  sequence.tokens.insert(sequence.tokens.end(), guess.tokens.begin(), guess.tokens.end());
  sequence.draft = static_cast<int>(guess.tokens.size());
  sequence.draft_grounds = std::move(guess.grounds);
}

void Generator::drop_draft(Sequence& sequence) {
  sequence.tokens.resize(sequence.tokens.size() - static_cast<size_t>(std::exchange(sequence.draft, 0)));
}

void Generator::settle(const Batch& batch) {
  prompt_evaluated_ += batch.prompt_tokens;
  int row = 0;
  for (size_t i = 0; i < batch.slices.size(); ++i) {
    Sequence& sequence = *batch.sequences[i];
    const int outputs = batch.slices[i].outputs;  // the slice's tokens dangle once the sequence's change
    const int count = static_cast<int>(batch.slices[i].tokens.size());
    const std::vector<Token> draft(sequence.tokens.end() - sequence.draft, sequence.tokens.end());
    drop_draft(sequence);
    cache_.advance(*sequence.slot, count);
    sequence.cells += count;
    sequence.evaluated += count - static_cast<int>(draft.size());
    if (sequence.scores) {
      record_scores(sequence, row, count);
    } else if (outputs > 0) {
      sample(sequence, row, draft);
    }
    row += outputs;
  }
}

// The last `count` evaluated tokens each say how likely the one after them was.
void Generator::record_scores(Sequence& sequence, int first_row, int count) {
  const auto at = [&](int i) { return sequence.tokens[static_cast<size_t>(i)]; };
  const auto judge = [&](Token token, float logprob) {
    // BOS and the like are no part of the text.
    if (!vocabulary_.is_control(token)) sequence.scores->push_back({vocabulary_.piece(token), logprob, {}});
  };
  const int before = sequence.evaluated - count;
  if (before == 0) judge(at(0), 0);
  for (int i = 0; i < count && before + i + 1 < sequence.prompt_tokens; ++i) {
    const Token next = at(before + i + 1);
    judge(next, logprobs_of(forward_.logits(first_row + i), next, 0).logprob);
  }
  if (sequence.evaluated < sequence.prompt_tokens) return;
  Scores scores{std::move(*sequence.scores)};
  leave_slot(sequence);
  const RequestId id = sequence.id;
  remove(sequence);
  emit_(id, std::move(scores));
}

// Chooses the next token, and goes on through the draft for as long as it is what is chosen.
void Generator::sample(Sequence& sequence, int first_row, std::span<const Token> draft) {
  if (sequence.generated == 0) sequence.first_token = clock_.now();
  const std::vector<Ground> grounds = std::exchange(sequence.draft_grounds, {});
  int accepted = 0;
  for (size_t i = 0; i <= draft.size(); ++i) {
    const auto logits = forward_.logits(first_row + static_cast<int>(i));
    const auto token = sequence.sampler.sample(logits, sequence.grammar.get());
    // Without a token the grammar is complete (and an end token suppressed), so the answer is.
    const bool ends = !token || vocabulary_.ends_generation(*token);
    if (ends || !add_token(sequence, *token, logits)) {
      drafts_.settle(grounds, accepted);
      if (ends) finish(sequence, FinishReason::stop);
      return;
    }
    if (i == draft.size() || draft[i] != *token) break;
    ++accepted;
    ++sequence.evaluated;
  }
  drafts_.settle(grounds, accepted);
  sequence.luck.record(static_cast<int>(draft.size()), accepted);
  take_back(sequence);
}

// The cells of what was guessed wrong.
void Generator::take_back(Sequence& sequence) {
  cache_.truncate(*sequence.slot, sequence.evaluated, sequence.cells);
  sequence.cells = sequence.evaluated;
}

// False: that was the last one, and the sequence is gone.
bool Generator::add_token(Sequence& sequence, Token token, std::span<const float> logits) {
  sequence.tokens.push_back(token);
  ++sequence.generated;
  ++generated_;
  sequence.sampler.accept(token);
  if (sequence.grammar) {
    if (auto accepted = sequence.grammar->accept(token); !accepted) {
      fail_sequence(sequence, accepted.error());
      return false;
    }
  }
  std::optional<TokenLogprob> logprob;
  if (sequence.request.logprobs) {
    const Logprobs found = logprobs_of(logits, token, sequence.request.top_logprobs);
    logprob.emplace(TokenLogprob{vocabulary_.piece(token), found.logprob, {}});
    for (const auto& [other, value] : found.top) logprob->top.emplace_back(vocabulary_.piece(other), value);
  }
  if (auto piece = sequence.answer.add(token, vocabulary_.piece(token), std::move(logprob))) {
    emit_(sequence.id, std::move(*piece));
  }
  const bool stopped = sequence.answer.stopped();
  if (!stopped && sequence.generated < sequence.room) return true;
  finish(sequence, stopped ? FinishReason::stop : FinishReason::length);
  return false;
}

void Generator::finish(Sequence& sequence, FinishReason reason) {
  const TimePoint now = clock_.now();
  if (auto rest = sequence.answer.finish()) emit_(sequence.id, std::move(*rest));
  Finished finished;
  finished.reason = reason;
  const int prompt = sequence.prompt_tokens - sequence.answered;
  finished.usage = {prompt, std::min(sequence.cached, prompt), sequence.generated};
  finished.seed = sequence.sampler.seed();
  const TimePoint started = sequence.started == TimePoint{} ? now : sequence.started;
  const TimePoint first = sequence.first_token == TimePoint{} ? now : sequence.first_token;
  finished.waited = started - sequence.arrived;
  finished.prefill = first - started;
  finished.decode = now - first;
  // Not where a stop string ended it: its tokens are not part of what was shown.
  const bool whole = reason != FinishReason::cancelled && !sequence.answer.stopped();
  if (!sequence.request.sequence_key.empty() && sequence.generated > 0 && whole) {
    memo_.remember(sequence.request.share_scope + '\n' + sequence.request.sequence_key,
                   sequence.prompt_text + sequence.answer.text(), sequence.tokens);
  }
  if (reason != FinishReason::cancelled) {
    drafts_.learn(sequence.request.share_scope, std::span(sequence.tokens).subspan(static_cast<size_t>(prompt)));
  }
  if (sequence.slot) {
    take_back(sequence);
    cache_.publish(*sequence.slot, sequence.scope, sequence.evaluated_tokens());
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

Generator::Load Generator::load() const {
  Load load = Load::none;
  for (const List* list : {&running_, &waiting_}) {
    for (const auto& sequence : *list) {
      if (sequence->request.priority < kPriorities - 1) return Load::urgent;
      load = Load::background;
    }
  }
  return load;
}

Heartbeat Generator::heartbeat() const {
  Heartbeat heartbeat;
  heartbeat.generating = static_cast<int>(running_.size());
  heartbeat.waiting = static_cast<int>(waiting_.size());
  heartbeat.kv_cells_used = cache_.used_cells();
  heartbeat.prompt_tokens = prompt_evaluated_;
  heartbeat.generated_tokens = generated_;
  heartbeat.step_seconds = times_.mean_step_seconds();
  heartbeat.draft_tokens = drafts_.drafted();
  heartbeat.draft_accepted = drafts_.accepted();
  heartbeat.preemptions = preemptions_;
  heartbeat.adapters = adapters_.count();
  heartbeat.adapter_bytes = adapters_.bytes();
  return heartbeat;
}

}  // namespace skep::engine
