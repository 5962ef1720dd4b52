#pragma once
// The response cache in front of the dispatcher: a task whose answer is known is answered at once, one that is being
// answered is joined, all others go to the dispatcher, and what they say is kept.
//
// Which tasks: those whose answer is decided by what is asked (temperature 0, or a seed), and those of agents that
// opted in (roster: `cache: always` keeps sampled answers, `cache: similar` does that and asks for questions that mean
// the same, behind cache/guard.h). Log probabilities are never answered from the cache.
//
// Memory is asked at once; the levels below it and similar questions are waited for, each for a bounded time.
//
// Joining (single-flight): tasks with the same key share one generation; who comes late hears what was said so far. A
// joiner that leaves takes nothing from the others; the generation ends when the last one has left. Nobody joins a
// generation of lower urgency, nor with a deadline of its own. Where it ends by the first one's limits (deadline,
// quota) before a word was said, the others try again by themselves; later, they hear of its end.
//
// Lives on the event loop; listeners hear on the loop and never from inside submit().

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/dispatcher.h"
#include "agent/known_answers.h"
#include "agent/roster.h"
#include "agent/tasks.h"
#include "cache/answer_cache.h"
#include "cache/similar.h"

namespace skep::agent {

class CachedTasks final : public Tasks, public KnownAnswers {
 public:
  struct Parts {
    EventLoop& loop;
    Dispatcher& dispatcher;
    Planner& planner;
    const Roster& roster;
    cache::AnswerCache* cache;  // null: everything goes to the dispatcher
    cache::Similar* similar;    // null: exact hits only
    // Stands for the content of a model and of the adapter's file (empty: none): hash, or address; empty: unknown,
    // nothing is kept.
    std::function<std::string(const std::string& model, const std::string& adapter)> content_of;
    // A number that changes with whatever else a plan reads for this agent (empty: for nobody's): the catalog, the
    // agent's core memory. Empty: there are no tickets.
    std::function<uint64_t(const std::string& agent)> basis = {};
  };
  explicit CachedTasks(Parts parts);
  ~CachedTasks() override;  // listeners hear nothing more
  CachedTasks(const CachedTasks&) = delete;
  CachedTasks& operator=(const CachedTasks&) = delete;

  void submit(TaskId id, TaskRequest request, std::shared_ptr<TaskListener> listener) override;
  void cancel(TaskId task) override;
  [[nodiscard]] std::optional<Ticket> ticket(TaskId task) const override;
  std::optional<Hit> take(const Ticket& ticket) override;

  // Lets questions be compared by meaning, for agents that opted in. Outlives this; null: not any more.
  void use(cache::Similar* similar) { parts_.similar = similar; }

  // Answers with this tag (empty: all) are not found any more, and what is being answered is joined and kept by nobody.
  // `done` when all levels have noted it, perhaps from inside; an error: after a restart they may be back.
  void invalidate(const std::string& tag, std::function<void(Status)> done);

  // The same for what the agent answered, and was asked; it leaves this process's memory and the levels' files.
  void forget_agent(const std::string& agent, std::function<void(Status)> done);

  // Puts an answer where a task would find it: for warming.
  Status warm(const TaskRequest& request, language::Message answer);

  struct Counters {
    int64_t hits = 0, misses = 0, joined = 0, similar = 0, guarded = 0, bypassed = 0;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }
  void on_cached(std::function<void(const TaskResult&, const CacheNote&)> heard) { heard_ = std::move(heard); }

 private:
  struct Flight;
  struct Asked {  // a task on its way through the cache
    TaskId id = 0;
    TaskRequest request;
    Plan plan;
    std::shared_ptr<TaskListener> listener;
    cache::CacheKey key{};
    std::string content;
    TimePoint submitted{};
    bool similar = false;
  };

  [[nodiscard]] bool cacheable(const TaskRequest& request, const Plan& plan) const;
  [[nodiscard]] const AgentSpec* agent_of(const TaskRequest& request, const Plan& plan) const;
  void look_up(Asked asked);
  void ask_levels(Asked asked);
  void missed(Asked asked);
  void count_hit(const TaskResult& result);
  // In memory, or not.
  bool answer_from_memory(Asked& asked, const cache::CacheKey& key, bool similar);
  // False: the bytes are no answer.
  bool answer_with(Asked& asked, const cache::CacheKey& key, const cache::Hit& hit, bool similar);
  bool join(Asked& asked);
  void ask_similar(Asked asked);
  struct Alike;
  void try_alike(const std::shared_ptr<Alike>& alike);
  void keep_and_join_no_more(const std::string& tag);
  void fly(Asked asked);
  void answered(Flight& flight, const TaskResult& result);
  void landed(const cache::CacheKey& key, Flight* flight);

  Parts parts_;
  std::unordered_map<cache::CacheKey, std::shared_ptr<Flight>, cache::CacheKeyHash> flights_;  // that can be joined
  std::unordered_map<TaskId, std::shared_ptr<Flight>> riders_;
  std::unordered_map<TaskId, std::shared_ptr<TaskListener>> answering_;  // hits, until they are told
  std::unordered_map<TaskId, std::shared_ptr<Asked>> looking_;           // below memory, for similar ones; not for long
  TaskId telling_ = 0;                                                   // the hit whose listener hears finished() now
  std::optional<Ticket> ticket_;                                         // of it
  Counters counters_;
  std::function<void(const TaskResult&, const CacheNote&)> heard_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::agent
