#pragma once
// Conversations that agents remember. What is said to an agent goes to the model with everything that was said before
// in that conversation; the answer reaches whoever asked only after both are in the agent's state, written. A letter is
// said when the agent gets to it: it waits in the mailbox, through sleep and crashes, until it is answered, and leaves
// the mailbox in the same write that puts the answer into the conversation.
//
// Within a conversation one is answered after another, in the order of their coming; conversations run beside each
// other. The agent is awake (visited) while it has something to answer.
//
// Lives on the event loop; listeners hear on the loop, never from inside say().

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/dispatcher.h"
#include "agent/home.h"
#include "agent/roster.h"
#include "agent/tasks.h"
#include "base/gate.h"

namespace skep::agent {

struct CorrespondenceOptions {
  size_t waiting = 64;  // in one conversation; beyond it, overloaded
  int attempts = 100;   // for a letter whose model can't answer just now; then its failure is noted
  Duration retry = std::chrono::seconds(5);          // doubled each time, up to
  Duration longest_retry = std::chrono::minutes(5);  // 100 attempts take about eight hours
};

class Correspondence {
 public:
  struct Parts {
    EventLoop& loop;
    Home& home;
    AgentStore& store;
    Dispatcher& dispatcher;
    Tasks& tasks;
    const Roster& roster;
  };
  Correspondence(Parts parts, CorrespondenceOptions options);
  ~Correspondence();
  Correspondence(const Correspondence&) = delete;
  Correspondence& operator=(const Correspondence&) = delete;

  // `task` names the agent and holds the new messages and the parameters.
  TaskId say(TaskRequest task, const std::string& conversation, std::shared_ptr<TaskListener> listener);
  void cancel(TaskId task);  // idempotent; nothing of it is remembered, but that a letter was not answered

  // `done` with the letter's id once it is written. not_found: nobody of that name.
  void deliver(const std::string& agent, Letter letter, std::function<void(Result<uint64_t>)> done);
  // Takes up the letters that wait and have no job: since an earlier run, or since they were imported.
  void recover();
  // The agent's state is another one now (imported, forgotten), with nobody at work in it: what waited for the old one
  // is over.
  void replaced(const std::string& agent);

  void on_letter(std::function<void(const std::string& agent, const Letter&, const Error* failure)> heard) {
    heard_ = std::move(heard);
  }

 private:
  struct Job;
  class Answer;
  using Line = std::deque<std::shared_ptr<Job>>;  // the first one is at work

  void enqueue(std::shared_ptr<Job> job);
  void begin(const std::shared_ptr<Job>& job);
  void ask(const std::shared_ptr<Job>& job, std::vector<language::Message> history);
  void finished(const std::shared_ptr<Job>& job, TaskResult result);
  void failed(const std::shared_ptr<Job>& job, TaskFailure failure);
  void next(const std::shared_ptr<Job>& job);
  void open_mail(const std::string& agent, const AgentState& state);
  void letter_failed(const std::shared_ptr<Job>& job, const TaskFailure& failure);

  Parts parts_;
  CorrespondenceOptions options_;
  std::function<void(const std::string&, const Letter&, const Error*)> heard_;
  std::unordered_map<std::string, Line> lines_;                    // by agent and conversation
  std::unordered_map<TaskId, std::shared_ptr<Job>> jobs_;          // by the id that say() gave
  std::unordered_map<std::string, std::vector<uint64_t>> opened_;  // letters that have a job, by agent
  struct Retry {
    std::string agent;
    TimerId timer;
  };
  std::unordered_map<uint64_t, Retry> retries_;
  uint64_t next_retry_ = 1;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
};

}  // namespace skep::agent
