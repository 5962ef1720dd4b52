#include "agent/cached_tasks.h"

#include <xxhash.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "agent/answer_codec.h"
#include "cache/guard.h"

namespace skep::agent {
namespace {

constexpr const char* kMemory = "memory";  // the level's name
constexpr double kSimilarEnough = 0.95;    // cosine
constexpr size_t kPieceBytes = 24;         // of a stream from the cache, about: what a few tokens say
constexpr Duration kLooking =
    std::chrono::milliseconds(500);  // for a similar question; its model may have to load first

// The answer in pieces as a stream would have it: cut between words where there are some, never inside a character.
std::vector<language::Delta> pieces_of(const language::Message& message) {
  std::vector<language::Delta> pieces;
  auto cut = [&](const std::string& text, std::string language::Delta::*field) {
    for (size_t at = 0; at < text.size();) {
      size_t end = std::min(at + kPieceBytes, text.size());
      if (size_t space = text.find(' ', end); space != text.npos && space < end + kPieceBytes) end = space;
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
      language::Delta delta;
      delta.*field = text.substr(at, end - at);
      pieces.push_back(std::move(delta));
      at = end;
    }
  };
  cut(message.reasoning, &language::Delta::reasoning);
  cut(message.content, &language::Delta::content);
  for (size_t i = 0; i < message.tool_calls.size(); ++i) {
    const language::ToolCall& call = message.tool_calls[i];
    language::Delta delta;
    delta.tool_calls.push_back({static_cast<int>(i), call.id, call.name, call.arguments});
    pieces.push_back(std::move(delta));
  }
  return pieces;
}

std::vector<std::string> tags_of(const TaskRequest& request, const Plan& plan) {
  std::vector<std::string> tags;
  for (const std::string& tag : request.cache.tags) tags.push_back(cache::tag_named(tag));
  if (!plan.agent.empty()) tags.push_back(cache::tag_named("agent:" + plan.agent));
  tags.push_back(cache::tag_named("model:" + plan.route.model));
  return tags;
}

uint64_t hash_of(const std::string& bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

// What else decides than the task, the catalog and the agent: load, and what is resident.
bool routed_by_load(const TaskRequest& request) {
  return request.model.empty() ? request.agent.empty() : request.model == "auto" || request.model == "auto:latest";
}

bool one_persons_limit(ErrorCode code) {
  return code == ErrorCode::deadline_exceeded || code == ErrorCode::quota_exhausted || code == ErrorCode::cancelled;
}

}  // namespace

// One generation and all who listen to it. The dispatcher keeps it until its last call.
struct CachedTasks::Flight final : TaskListener {
  struct Rider {
    TaskId id;
    std::shared_ptr<TaskListener> listener;
    Asked again;  // what to do if the flight ends by its first rider's limits; the first one's is not used
    bool joined = false;
    bool caught_up = true;  // false: it has not heard yet what was said before it came
  };

  Flight(CachedTasks& o, std::shared_ptr<bool> a) : owner(o), alive(std::move(a)) {}

  void started(const TaskStarted& started) override {
    if (!*alive) return;
    begun = started;
    for_each([&](Rider& rider) { tell_started(rider); });
  }
  void delta(const language::Delta& delta) override {
    if (!*alive) return;
    so_far.content += delta.content;
    so_far.reasoning += delta.reasoning;
    for (const auto& part : delta.tool_calls) {
      auto index = static_cast<size_t>(part.index);
      if (so_far.tool_calls.size() <= index) so_far.tool_calls.resize(index + 1);
      auto& call = so_far.tool_calls[index];
      call.index = part.index;
      if (!part.id.empty()) call.id = part.id;
      if (!part.name.empty()) call.name = part.name;
      call.arguments += part.arguments;
    }
    for_each([&](Rider& rider) { rider.listener->delta(delta); });
  }
  void finished(const TaskResult& result) override {
    if (*alive) owner.answered(*this, result);
  }
  void failed(const TaskFailure& failure) override;

  void tell_started(const Rider& rider) const {
    TaskStarted mine = *begun;
    mine.id = rider.id;
    mine.cache = {rider.joined ? CacheNote::State::hit : CacheNote::State::miss, rider.joined ? "flight" : "", {}};
    rider.listener->started(mine);
  }
  // A rider that joins hears what was said so far.
  void catch_up(const Rider& rider) const {
    if (begun) tell_started(rider);
    if (!so_far.content.empty() || !so_far.reasoning.empty() || !so_far.tool_calls.empty()) {
      rider.listener->delta(so_far);
    }
  }
  // Riders may leave while they are told.
  template <typename Tell>
  void for_each(const Tell& tell) {
    std::vector<TaskId> ids;
    for (const Rider& rider : riders) ids.push_back(rider.id);
    for (TaskId id : ids) {
      auto found = std::find_if(riders.begin(), riders.end(), [&](const Rider& rider) { return rider.id == id; });
      if (found == riders.end() || !found->caught_up) continue;
      Rider copy{found->id, found->listener, {}, found->joined};
      tell(copy);
    }
  }

  CachedTasks& owner;
  std::shared_ptr<bool> alive;
  cache::CacheKey key{};
  TaskId task = 0;  // the dispatcher's
  scheduling::Priority priority = scheduling::Priority::normal;
  std::vector<Rider> riders;
  std::vector<std::string> tags;
  std::optional<Duration> ttl;
  bool store = true;
  std::string question;  // to be found by similar ones; empty: not
  cache::CacheKey scope{};
  std::optional<TaskStarted> begun;
  language::Delta so_far;
};

CachedTasks::CachedTasks(Parts parts) : parts_(std::move(parts)) {
  if (parts_.cache == nullptr) return;
  parts_.cache->on_invalidated([this, alive = alive_](const std::string& tag) {
    if (*alive) keep_and_join_no_more(tag);
  });
}

struct CachedTasks::Alike {
  TaskId task = 0;
  std::string question;
  std::vector<cache::Similar::Match> matches;
  size_t next = 0;
};

CachedTasks::~CachedTasks() { *alive_ = false; }

const AgentSpec* CachedTasks::agent_of(const TaskRequest& request, const Plan& plan) const {
  return parts_.roster.find(plan.agent.empty() ? request.agent : plan.agent);
}

bool CachedTasks::cacheable(const TaskRequest& request, const Plan& plan) const {
  if (parts_.cache == nullptr || plan.generate.logprobs) return false;
  if (!request.cache.look_up && !request.cache.store) return false;
  if (plan.generate.sampling.temperature == 0 || request.input.overrides.seed) return true;
  const AgentSpec* agent = agent_of(request, plan);
  return agent != nullptr && (agent->cache == CacheUse::always || agent->cache == CacheUse::similar);
}

void CachedTasks::submit(TaskId id, TaskRequest request, std::shared_ptr<TaskListener> listener) {
  if (parts_.cache == nullptr || parts_.dispatcher.draining()) {
    return parts_.dispatcher.submit(id, std::move(request), std::move(listener));
  }
  auto plan = parts_.planner.plan(request);
  if (!plan) return parts_.dispatcher.submit(id, std::move(request), std::move(listener));  // it says why
  Asked asked;
  asked.id = id;
  asked.submitted = parts_.loop.now();
  asked.content = cacheable(request, *plan) ? parts_.content_of(plan->route.model, plan->generate.adapter) : "";
  if (asked.content.empty()) {
    ++counters_.bypassed;
    return parts_.dispatcher.submit(id, std::move(request), std::move(*plan), std::move(listener));
  }
  const AgentSpec* agent = agent_of(request, *plan);
  asked.similar = parts_.similar != nullptr && agent != nullptr && agent->cache == CacheUse::similar;
  asked.key = answer_key(plan->generate, request.input, asked.content);
  asked.request = std::move(request);
  asked.plan = std::move(*plan);
  asked.listener = std::move(listener);
  look_up(std::move(asked));
}

void CachedTasks::look_up(Asked asked) {
  if (!asked.request.cache.look_up) return fly(std::move(asked));
  if (answer_from_memory(asked, asked.key, false) || join(asked)) return;
  if (parts_.cache->has_levels()) return ask_levels(std::move(asked));
  missed(std::move(asked));
}

void CachedTasks::ask_levels(Asked asked) {
  const TaskId id = asked.id;
  const cache::CacheKey key = asked.key;
  looking_[id] = std::make_shared<Asked>(std::move(asked));
  parts_.cache->find_below(key, [alive = alive_, this, id](const std::optional<cache::Hit>& hit) {
    auto node = *alive ? looking_.extract(id) : decltype(looking_)::node_type();
    if (node.empty()) return;  // cancelled
    Asked& waiting = *node.mapped();
    if (hit && answer_with(waiting, waiting.key, *hit, false)) return;
    if (!join(waiting)) missed(std::move(waiting));
  });
}

void CachedTasks::missed(Asked asked) {
  ++counters_.misses;
  if (asked.similar) return ask_similar(std::move(asked));
  fly(std::move(asked));
}

// True: it goes along with a flight of the same key, and `asked` is gone.
bool CachedTasks::join(Asked& asked) {
  auto found = flights_.find(asked.key);
  if (found == flights_.end() || asked.request.deadline) return false;
  auto flight = found->second;
  auto urgency = asked.request.priority.value_or(asked.plan.priority);
  if (static_cast<int>(urgency) < static_cast<int>(flight->priority)) return false;
  ++counters_.joined;
  TaskId id = asked.id;
  riders_[id] = flight;
  auto listener = asked.listener;
  flight->riders.push_back({id, listener, std::move(asked), true, false});
  parts_.loop.post([alive = alive_, this, id] {
    auto riding = *alive ? riders_.find(id) : riders_.end();
    if (!*alive || riding == riders_.end()) return;
    for (auto& rider : riding->second->riders) {
      if (rider.id != id) continue;
      rider.caught_up = true;
      return riding->second->catch_up(Flight::Rider{id, rider.listener, {}, true});
    }
  });
  return true;
}

bool CachedTasks::answer_from_memory(Asked& asked, const cache::CacheKey& key, bool similar) {
  const auto hit = parts_.cache->find_in_memory(key);
  return hit && answer_with(asked, key, {*hit->value, kMemory, hit->age}, similar);
}

bool CachedTasks::answer_with(Asked& asked, const cache::CacheKey& key, const cache::Hit& hit, bool similar) {
  auto result = decode_answer(hit.value);
  if (!result) return false;
  ++counters_.hits;
  if (similar) ++counters_.similar;
  result->id = asked.id;
  result->agent = asked.plan.agent.empty() ? asked.request.agent : asked.plan.agent;
  result->route = asked.plan.route;
  CacheNote note{CacheNote::State::hit, similar ? "similar" : hit.level, hit.age};
  result->cache = note;
  answering_[asked.id] = asked.listener;
  std::optional<Ticket> ticket;
  if (parts_.basis && !similar && hit.level == kMemory && !routed_by_load(asked.request)) {
    ticket = Ticket{key, hash_of(hit.value), parts_.basis(result->agent), result->agent, result->route};
  }
  parts_.loop.post([alive = alive_, this, result = std::move(*result), note, submitted = asked.submitted,
                    ticket = std::move(ticket)]() mutable {
    if (!*alive) return;
    auto node = answering_.extract(result.id);
    if (node.empty()) return;  // cancelled
    auto listener = std::move(node.mapped());
    listener->started({result.id, result.route, note});
    for (const language::Delta& piece : pieces_of(result.message)) listener->delta(piece);
    result.total = parts_.loop.now() - submitted;
    count_hit(result);
    telling_ = result.id;
    ticket_ = std::move(ticket);
    listener->finished(result);
    if (!*alive) return;
    telling_ = 0;
    ticket_.reset();
  });
  return true;
}

void CachedTasks::count_hit(const TaskResult& result) {
  parts_.dispatcher.count(result, result.total);
  if (heard_) heard_(result, result.cache);
}

std::optional<KnownAnswers::Ticket> CachedTasks::ticket(TaskId task) const {
  return task == telling_ ? ticket_ : std::nullopt;
}

std::optional<KnownAnswers::Hit> CachedTasks::take(const Ticket& ticket) {
  const TimePoint began = parts_.loop.now();
  if (parts_.cache == nullptr || parts_.dispatcher.draining() || parts_.basis(ticket.agent) != ticket.basis) return {};
  const auto hit = parts_.cache->find_in_memory(ticket.key);
  if (!hit || hash_of(*hit->value) != ticket.answer) return {};
  auto result = decode_answer(*hit->value);
  if (!result) return {};
  ++counters_.hits;
  result->id = parts_.dispatcher.reserve();
  result->agent = ticket.agent;
  result->route = ticket.route;
  result->cache = {CacheNote::State::hit, kMemory, hit->age};
  result->total = parts_.loop.now() - began;
  count_hit(*result);
  return Hit{result->id, result->cache};
}

void CachedTasks::ask_similar(Asked asked) {
  std::string question = question_of(asked.plan.generate);
  if (question.empty()) return fly(std::move(asked));
  cache::CacheKey scope = answer_scope(asked.plan.generate, asked.request.input, asked.content);
  TaskId id = asked.id;
  looking_[id] = std::make_shared<Asked>(std::move(asked));
  parts_.loop.after(kLooking, [alive = alive_, this, id] {
    auto node = *alive ? looking_.extract(id) : decltype(looking_)::node_type();
    if (!node.empty() && !join(*node.mapped())) fly(std::move(*node.mapped()));
  });
  auto alike = std::make_shared<Alike>();
  alike->task = id;
  alike->question = question;
  parts_.similar->find(scope, question, kSimilarEnough,
                       [alive = alive_, this, alike](std::vector<cache::Similar::Match> matches) {
                         if (!*alive) return;
                         alike->matches = std::move(matches);
                         try_alike(alike);
                       });
}

// The next match that means the same, wherever its answer is; at the end, or when nobody waits any more, that was it.
void CachedTasks::try_alike(const std::shared_ptr<Alike>& alike) {
  auto found = looking_.find(alike->task);
  if (found == looking_.end()) return;  // cancelled, or tired of waiting
  while (alike->next < alike->matches.size()) {
    const cache::Similar::Match& match = alike->matches[alike->next++];
    if (match.cosine < kSimilarEnough) continue;
    if (!cache::compare_questions(alike->question, match.question).same) {
      ++counters_.guarded;
      continue;
    }
    if (answer_from_memory(*found->second, match.key, true)) {
      looking_.erase(found);
      return;
    }
    parts_.cache->find_below(match.key, [alive = alive_, this, alike, key = match.key](const auto& hit) {
      if (!*alive) return;
      const auto waiting = looking_.find(alike->task);
      if (waiting == looking_.end()) return;
      if (hit && answer_with(*waiting->second, key, *hit, true)) {
        looking_.erase(waiting);
        return;
      }
      if (parts_.similar != nullptr) parts_.similar->forget(key);  // its answer has gone
      try_alike(alike);
    });
    return;
  }
  auto node = looking_.extract(found);
  if (!join(*node.mapped())) fly(std::move(*node.mapped()));
}

void CachedTasks::fly(Asked asked) {
  auto flight = std::make_shared<Flight>(*this, alive_);
  flight->key = asked.key;
  flight->task = asked.id;
  flight->priority = asked.request.priority.value_or(asked.plan.priority);
  flight->tags = tags_of(asked.request, asked.plan);
  flight->ttl = asked.request.cache.ttl;
  flight->store = asked.request.cache.store;
  if (asked.similar) {
    flight->question = question_of(asked.plan.generate);
    flight->scope = answer_scope(asked.plan.generate, asked.request.input, asked.content);
  }
  flight->riders.push_back({asked.id, asked.listener, {}, false});
  riders_[asked.id] = flight;
  if (asked.request.cache.look_up && !flights_.contains(asked.key)) flights_[asked.key] = flight;
  parts_.dispatcher.submit(asked.id, std::move(asked.request), std::move(asked.plan), flight);
}

void CachedTasks::landed(const cache::CacheKey& key, Flight* flight) {
  for (const auto& rider : flight->riders) riders_.erase(rider.id);
  auto found = flights_.find(key);
  if (found != flights_.end() && found->second.get() == flight) flights_.erase(found);
}

void CachedTasks::answered(Flight& flight, const TaskResult& result) {
  auto riders = flight.riders;
  landed(flight.key, &flight);
  if (flight.store && result.finish_reason != "cancelled") {
    parts_.cache->put(flight.key, encode_answer(result), flight.tags, flight.ttl);
    if (parts_.similar != nullptr && !flight.question.empty()) {
      parts_.similar->add(flight.scope, flight.question, flight.key, result.agent);
    }
  }
  flight.riders.clear();
  for (const auto& rider : riders) {
    if (!rider.caught_up) flight.catch_up(rider);
    TaskResult mine = result;
    mine.id = rider.id;
    mine.cache = {rider.joined ? CacheNote::State::hit : CacheNote::State::miss, rider.joined ? "flight" : "", {}};
    if (rider.joined) {
      mine.total = parts_.loop.now() - rider.again.submitted;
      parts_.dispatcher.count(mine, mine.total);
      if (heard_) heard_(mine, mine.cache);
    }
    rider.listener->finished(mine);
  }
}

void CachedTasks::Flight::failed(const TaskFailure& failure) {
  if (!*alive) return;
  auto leaving = std::move(riders);
  riders.clear();
  for (const auto& rider : leaving) owner.riders_.erase(rider.id);
  owner.landed(key, this);
  bool heard = !so_far.content.empty() || !so_far.reasoning.empty() || !so_far.tool_calls.empty();
  for (auto& rider : leaving) {
    if (rider.joined && !heard && one_persons_limit(failure.error.code)) {
      owner.look_up(std::move(rider.again));
      continue;
    }
    if (!rider.caught_up) catch_up(rider);
    TaskFailure mine = failure;
    mine.id = rider.id;
    rider.listener->failed(mine);
  }
}

void CachedTasks::cancel(TaskId task) {
  answering_.erase(task);
  looking_.erase(task);
  auto node = riders_.extract(task);
  if (node.empty()) return parts_.dispatcher.cancel(task);
  auto flight = std::move(node.mapped());
  std::erase_if(flight->riders, [&](const Flight::Rider& rider) { return rider.id == task; });
  if (!flight->riders.empty()) return;  // others listen on
  landed(flight->key, flight.get());
  parts_.dispatcher.cancel(flight->task);
}

void CachedTasks::keep_and_join_no_more(const std::string& tag) {
  const auto carries = [&](const Flight& flight) {
    return tag.empty() || tag == "*" || std::find(flight.tags.begin(), flight.tags.end(), tag) != flight.tags.end();
  };
  for (auto& [id, flight] : riders_) {
    if (carries(*flight)) flight->store = false;
  }
  std::erase_if(flights_, [&](const auto& entry) { return carries(*entry.second); });
}

void CachedTasks::invalidate(const std::string& tag, std::function<void(Status)> done) {
  if (parts_.cache == nullptr) return done({});
  keep_and_join_no_more(cache::tag_named(tag));
  parts_.cache->invalidate(cache::tag_named(tag), std::move(done));
}

void CachedTasks::forget_agent(const std::string& agent, std::function<void(Status)> done) {
  if (parts_.similar != nullptr) parts_.similar->forget_agent(agent);
  if (parts_.cache == nullptr) return done({});
  const std::string tag = cache::tag_named("agent:" + agent);
  keep_and_join_no_more(tag);
  parts_.cache->forget(tag, std::move(done));
}

Status CachedTasks::warm(const TaskRequest& request, language::Message answer) {
  if (parts_.cache == nullptr) return fail(ErrorCode::unavailable, "the response cache is off", "set cache.enabled");
  SKEP_TRY(Plan plan, parts_.planner.plan(request));
  std::string content = parts_.content_of(plan.route.model, plan.generate.adapter);
  if (!cacheable(request, plan) || content.empty()) {
    return fail(ErrorCode::invalid_argument, "this task would not be answered from the cache",
                "give it temperature 0 or a seed, or let its agent have `cache: always`");
  }
  TaskResult result;
  result.message = std::move(answer);
  result.finish_reason = result.message.tool_calls.empty() ? "stop" : "tool_calls";
  result.usage.prompt_tokens = plan.prompt_tokens;
  cache::CacheKey key = answer_key(plan.generate, request.input, content);
  parts_.cache->put(key, encode_answer(result), tags_of(request, plan), request.cache.ttl);
  const AgentSpec* agent = agent_of(request, plan);
  std::string question = question_of(plan.generate);
  if (parts_.similar != nullptr && agent != nullptr && agent->cache == CacheUse::similar && !question.empty()) {
    parts_.similar->add(answer_scope(plan.generate, request.input, content), question, key, agent->name);
  }
  return {};
}

}  // namespace skep::agent
