#include "agent/correspondence.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace skep::agent {
namespace {

constexpr char kBetween = '\n';  // agent and conversation in a line's name; neither holds it

bool may_pass(ErrorCode code) {
  return code == ErrorCode::unavailable || code == ErrorCode::overloaded || code == ErrorCode::quota_exhausted ||
         code == ErrorCode::deadline_exceeded || code == ErrorCode::out_of_memory;
}

// A letter's answer has no listener: it is read from the conversation.
class Nobody final : public TaskListener {
 public:
  void delta(const language::Delta&) override {}
  void finished(const TaskResult&) override {}
  void failed(const TaskFailure&) override {}
};

}  // namespace

struct Correspondence::Job {
  TaskId id = 0;  // that the asker knows
  std::string agent, conversation, line;
  TaskRequest task;
  std::shared_ptr<TaskListener> listener;
  std::optional<Letter> letter;
  std::vector<language::Message> said;  // the new messages, to be remembered
  Visit visit;
  bool asked = false;  // it is among the tasks, under its id
  bool over = false;
  bool comes_again = false;  // its letter gets another job later
};

// Hears of the task on behalf of a job.
class Correspondence::Answer final : public TaskListener {
 public:
  Answer(Correspondence& owner, std::shared_ptr<Job> job) : owner_(owner), alive_(owner.alive_), job_(std::move(job)) {}
  void started(const TaskStarted& started) override {
    if (!*alive_ || job_->over) return;
    TaskStarted mine = started;
    mine.id = job_->id;
    job_->listener->started(mine);
  }
  void delta(const language::Delta& delta) override {
    if (*alive_ && !job_->over) job_->listener->delta(delta);
  }
  void finished(const TaskResult& result) override {
    if (*alive_ && !job_->over) owner_.finished(job_, result);
  }
  void failed(const TaskFailure& failure) override {
    if (*alive_ && !job_->over) owner_.failed(job_, failure);
  }

 private:
  Correspondence& owner_;
  std::shared_ptr<bool> alive_;
  std::shared_ptr<Job> job_;
};

Correspondence::Correspondence(Parts parts, CorrespondenceOptions options) : parts_(parts), options_(options) {}

Correspondence::~Correspondence() {
  *alive_ = false;
  gate_->close();
  for (auto& [number, retry] : retries_) parts_.loop.cancel(retry.timer);
}

TaskId Correspondence::say(TaskRequest task, const std::string& conversation, std::shared_ptr<TaskListener> listener) {
  auto job = std::make_shared<Job>();
  job->id = parts_.dispatcher.reserve();
  job->agent = task.agent;
  job->conversation = conversation;
  job->said = std::move(task.input.messages);
  job->task = std::move(task);
  job->listener = std::move(listener);
  TaskId id = job->id;
  enqueue(std::move(job));
  return id;
}

void Correspondence::enqueue(std::shared_ptr<Job> job) {
  job->line = job->agent + kBetween + job->conversation;
  Line& line = lines_[job->line];
  if (line.size() > options_.waiting && !job->letter) {
    Error full{ErrorCode::overloaded,
               fmt::format("{} messages wait in this conversation with '{}'", line.size(), job->agent),
               "wait for its answers"};
    parts_.loop.post([job, full] { job->listener->failed({job->id, full, std::chrono::seconds(5)}); });
    return;
  }
  jobs_[job->id] = job;
  line.push_back(job);
  if (line.size() > 1) return;
  parts_.loop.post([this, alive = alive_, job] {
    if (*alive && !job->over) begin(job);
  });
}

void Correspondence::begin(const std::shared_ptr<Job>& job) {
  if (parts_.roster.find(job->agent) == nullptr) {
    return failed(job, {job->id, {ErrorCode::not_found, fmt::format("no agent is called '{}'", job->agent), ""}, {}});
  }
  if (auto why = parts_.store.refusing()) {  // the answer could not be remembered: no model works for it
    why->message = fmt::format("'{}' can remember nothing now: {}", job->agent, why->message);
    return failed(job, {job->id, std::move(*why), {}});
  }
  parts_.home.visit(job->agent, [this, alive = alive_, job](Result<Visit> visit) {
    if (!*alive || job->over) return;
    if (!visit) return failed(job, {job->id, visit.error(), {}});
    job->visit = std::move(*visit);
    std::vector<language::Message> history;
    if (const Conversation* talk = job->visit.state().conversation(job->conversation)) history = talk->messages();
    ask(job, std::move(history));
  });
}

void Correspondence::ask(const std::shared_ptr<Job>& job, std::vector<language::Message> history) {
  TaskRequest task = job->task;
  task.input.messages = std::move(history);
  task.input.messages.insert(task.input.messages.end(), job->said.begin(), job->said.end());
  job->asked = true;
  parts_.tasks.submit(job->id, std::move(task), std::make_shared<Answer>(*this, job));
}

// First it is written, then it is told; meanwhile the job stays at work.
void Correspondence::finished(const std::shared_ptr<Job>& job, TaskResult result) {
  WallTime now = parts_.loop.clock().wall();
  const auto failed_to_write = [this, job](Error error) {
    error.message = "the answer could not be remembered: " + error.message;
    failed(job, {job->id, std::move(error), {}});
  };
  const auto change = [&](AgentState& state) -> Status {
    for (const language::Message& message : job->said) SKEP_CHECK(state.say(job->conversation, {message, now}));
    SKEP_CHECK(state.say(job->conversation, {result.message, now}));
    if (job->letter) state.take_letter(job->letter->id);
    state.was_active(now);
    return {};
  };
  const auto safe = [this, alive = alive_, job, result, failed_to_write](const Status& written) mutable {
    if (!*alive || job->over) return;
    if (!written) return failed_to_write(written.error());
    if (job->letter && heard_) heard_(job->agent, *job->letter, nullptr);
    result.id = job->id;
    auto listener = job->listener;
    next(job);
    listener->finished(result);
  };
  if (Status accepted = job->visit.change(change, safe); !accepted) failed_to_write(accepted.error());
}

void Correspondence::failed(const std::shared_ptr<Job>& job, TaskFailure failure) {
  if (job->letter) letter_failed(job, failure);
  failure.id = job->id;
  auto listener = job->listener;
  next(job);
  listener->failed(failure);
}

// Ends a job and begins the next of its line.
void Correspondence::next(const std::shared_ptr<Job>& job) {
  assert(!job->over);
  job->over = true;
  job->visit.leave();
  jobs_.erase(job->id);
  if (job->letter && !job->comes_again) std::erase(opened_[job->agent], job->letter->id);
  auto found = lines_.find(job->line);
  if (found == lines_.end()) return;
  Line& line = found->second;
  bool was_first = !line.empty() && line.front() == job;
  std::erase(line, job);
  if (line.empty()) {
    lines_.erase(found);
  } else if (was_first) {
    parts_.loop.post([this, alive = alive_, follower = line.front()] {
      if (*alive && !follower->over && !follower->visit) begin(follower);
    });
  }
}

void Correspondence::cancel(TaskId task) {
  auto found = jobs_.find(task);
  if (found == jobs_.end()) return;
  auto job = found->second;
  if (job->asked) parts_.tasks.cancel(job->id);
  if (job->letter) letter_failed(job, {job->id, {ErrorCode::cancelled, "it was cancelled", ""}, {}});
  next(job);
}

void Correspondence::deliver(const std::string& agent, Letter letter, std::function<void(Result<uint64_t>)> done) {
  if (parts_.roster.find(agent) == nullptr) {
    parts_.loop.post([agent, done = std::move(done)] {
      done(fail(ErrorCode::not_found, fmt::format("no agent is called '{}'", agent)));
    });
    return;
  }
  parts_.home.visit(
      agent, [this, alive = alive_, letter = std::move(letter), done = std::move(done)](Result<Visit> visit) mutable {
        if (!*alive) return;
        if (!visit) return done(fail(visit.error()));
        auto id = std::make_shared<uint64_t>(0);
        const Status accepted = visit->change(
            [&](AgentState& state) -> Status {
              SKEP_TRY(*id, state.deliver(std::move(letter)));
              return {};
            },
            [id, done](const Status& written) {
              if (!written) return done(fail(written.error()));
              done(*id);
            });
        if (!accepted) return done(fail(accepted.error()));
        open_mail(visit->agent(), visit->state());
      });
}

// Makes a job of every letter that has none.
void Correspondence::open_mail(const std::string& agent, const AgentState& state) {
  auto& opened = opened_[agent];
  for (const Letter& letter : state.mailbox()) {
    if (!letter.failure.empty()) continue;
    if (std::find(opened.begin(), opened.end(), letter.id) != opened.end()) continue;
    opened.push_back(letter.id);
    auto job = std::make_shared<Job>();
    job->id = parts_.dispatcher.reserve();
    job->agent = agent;
    job->conversation = letter.conversation;
    job->task.agent = agent;
    job->task.caller = letter.from;
    job->task.conversation = letter.conversation;
    if (letter.max_tokens > 0) job->task.input.overrides.max_tokens = letter.max_tokens;
    job->task.input.overrides.temperature = letter.temperature;
    job->said.push_back({"user", letter.text, "", {}, "", ""});
    job->listener = std::make_shared<Nobody>();
    job->letter = letter;
    enqueue(std::move(job));
  }
}

void Correspondence::recover() {
  auto names = std::make_shared<Result<std::vector<std::string>>>(std::vector<std::string>());
  parts_.loop.blocking(
      [store = &parts_.store, gate = gate_, names] { gate->pass([&] { *names = store->agents_with_mail(); }); },
      [this, alive = alive_, names] {
        if (!*alive || !*names) return;
        for (const std::string& agent : **names) {
          if (parts_.roster.find(agent) == nullptr) continue;
          parts_.home.visit(agent, [this, alive](Result<Visit> visit) {
            if (*alive && visit) open_mail(visit->agent(), visit->state());
          });
        }
      });
}

void Correspondence::replaced(const std::string& agent) {
  std::vector<std::shared_ptr<Job>> waiting;
  for (const auto& [id, job] : jobs_) {
    if (job->agent == agent) waiting.push_back(job);
  }
  for (const auto& job : waiting) {
    job->letter.reset();  // it went with the old state
    failed(job, {job->id, {ErrorCode::conflict, fmt::format("the state of '{}' was replaced", agent), ""}, {}});
  }
  for (const auto& [number, retry] : retries_) {
    if (retry.agent == agent) parts_.loop.cancel(retry.timer);
  }
  std::erase_if(retries_, [&](const auto& entry) { return entry.second.agent == agent; });
  opened_.erase(agent);
}

// What may pass is tried again, later and later; what can't be answered keeps its letter, with the reason.
void Correspondence::letter_failed(const std::shared_ptr<Job>& job, const TaskFailure& failure) {
  Letter& letter = *job->letter;
  ++letter.attempts;
  if (may_pass(failure.error.code) && letter.attempts < options_.attempts) {
    const Duration wait = std::min(options_.retry * (1 << std::min(letter.attempts - 1, 10)), options_.longest_retry);
    uint64_t number = next_retry_++;
    job->comes_again = true;
    auto again = std::make_shared<Job>();
    again->id = parts_.dispatcher.reserve();
    again->agent = job->agent;
    again->conversation = job->conversation;
    again->task = job->task;
    again->said = job->said;
    again->listener = job->listener;
    again->letter = letter;
    const TimerId timer = parts_.loop.after(wait, [this, number, again] {
      retries_.erase(number);
      enqueue(again);
    });
    retries_[number] = {job->agent, timer};
    return;
  }
  if (heard_) heard_(job->agent, letter, &failure.error);
  parts_.home.visit(job->agent, [alive = alive_, id = letter.id, why = failure.error.text()](Result<Visit> visit) {
    if (!*alive || !visit) return;
    Status noted = visit->change([&](AgentState& state) -> Status {
      state.note_failure(id, why);
      return {};
    });
    (void)noted;  // the letter is tried again after a restart
  });
}

}  // namespace skep::agent
