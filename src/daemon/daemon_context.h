#pragma once
// What agent/context_keeper.h asks for, done by the daemon's parts: tokens by the planned model's tokenizer, summaries
// by a task of the fast tier in the background, the archive in long-term memory under the conversation's tag.

#include <string>

#include "agent/context_keeper.h"
#include "agent/dispatcher.h"
#include "api/backend.h"
#include "memory/memory_service.h"

namespace skep::daemon {

class DaemonContext final : public agent::ContextServices {
 public:
  struct Parts {
    EventLoop& loop;
    agent::Dispatcher& dispatcher;
    agent::Planner& planner;
    api::Backend& backend;
    memory::MemoryService* memory = nullptr;  // may be none
  };
  // `request` is the task whose conversation it is: who asks, whom, with which tools. The parts outlive this.
  DaemonContext(Parts parts, agent::TaskRequest request) : parts_(parts), request_(std::move(request)) {}

  void count(const std::vector<language::Message>& messages, std::function<void(Result<int>)> done) override;
  void summarise(std::string text, int tokens, std::function<void(Result<std::string>)> done) override;
  void archive(const std::string& conversation, std::vector<std::string> texts, std::function<void()> done) override;
  void recall(const std::string& conversation, const std::string& question, size_t most,
              std::function<void(std::vector<std::string>)> done) override;

 private:
  Parts parts_;
  agent::TaskRequest request_;
};

// A second tag of what no name leads to: it is kept for a while and within a bound (context.archive). A conversation
// that an agent remembers goes with it.
inline constexpr const char* kUnnamedTag = "unnamed-conversation";

// The tag of an archived conversation's facts; its name may hold anything.
std::string archive_tag(const std::string& conversation);

}  // namespace skep::daemon
