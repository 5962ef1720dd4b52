#pragma once
// Fits long conversations into their model's context before a task is planned: counts tokens with the model's own
// tokenizer, has the older half summarised ahead of need, keeps what was summarised where it can be recalled, and
// brings back what matters for the question at hand (mind/language/conversation_window.h decides what stands where).
//
// A request within its budget goes on at once; the summary that its length calls for is made in the background. Only a
// request that is over it waits for one. Nothing is cut silently: where no model summarises, an extract stands there.
//
// Lives on the event loop; answers come on the loop, never from inside the call.

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "mind/language/conversation_window.h"

namespace skep::agent {

// What the keeper needs of the daemon.
class ContextServices {
 public:
  virtual ~ContextServices() = default;
  // Exact: of the whole prompt that these messages make, template included.
  virtual void count(const std::vector<language::Message>& messages, std::function<void(Result<int>)> done) = 0;
  // By the fast tier, in at most about `tokens`.
  virtual void summarise(std::string text, int tokens, std::function<void(Result<std::string>)> done) = 0;
  // For good, so that recall() finds it. `conversation` is the key of prepare().
  virtual void archive(const std::string& conversation, std::vector<std::string> texts, std::function<void()> done) = 0;
  virtual void recall(const std::string& conversation, const std::string& question, size_t most,
                      std::function<void(std::vector<std::string>)> done) = 0;
};

struct ContextKeeperOptions {
  language::WindowOptions window;
  size_t conversations = 1000;  // remembered; the one unused for the longest goes first
};

class ContextKeeper {
 public:
  ContextKeeper(EventLoop& loop, ContextKeeperOptions options);
  ~ContextKeeper();  // who waits hears nothing more
  ContextKeeper(const ContextKeeper&) = delete;
  ContextKeeper& operator=(const ContextKeeper&) = delete;

  struct Fitted {
    std::vector<language::Message> messages;
    int tokens = 0;                       // of the prompt
    size_t summarised = 0, recalled = 0;  // messages that summaries stand for; messages brought back
  };
  // `budget`: tokens that the prompt may have. `services` is kept until `done`, and for the background's summary.
  // too_large: what must stay is over the budget.
  void prepare(const std::string& conversation, std::vector<language::Message> messages, int budget,
               std::shared_ptr<ContextServices> services, std::function<void(Result<Fitted>)> done);

  // Of the agent's conversations nothing is remembered; what is being fitted goes on.
  void forget_agent(const std::string& agent);

  // The daemon's key for a conversation: whose it is and how it began.
  static std::string key_of(const std::string& caller, const std::string& agent,
                            const std::vector<language::Message>& messages);

  struct Counters {
    int64_t fitted = 0, summaries = 0, extracts = 0, waited = 0;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  struct Conversation;
  struct Job;
  std::shared_ptr<Conversation> find(const std::string& key, const std::vector<language::Message>& messages);
  void look(const std::shared_ptr<Job>& job);
  void counted(const std::shared_ptr<Job>& job, int tokens);
  void with_recalled(const std::shared_ptr<Job>& job, std::vector<std::string> recalled);
  void finish(const std::shared_ptr<Job>& job, Result<Fitted> fitted);
  bool summarise(const std::shared_ptr<Job>& job);
  void merge(const std::shared_ptr<Job>& job);
  bool shrink(const std::shared_ptr<Job>& job);
  void ready(const std::shared_ptr<Conversation>& conversation);

  EventLoop& loop_;
  ContextKeeperOptions options_;
  std::list<std::shared_ptr<Conversation>> order_;  // the last used first
  std::unordered_map<std::string, std::list<std::shared_ptr<Conversation>>::iterator> conversations_;
  Counters counters_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::agent
