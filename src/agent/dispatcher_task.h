#pragma once
// One task of a dispatcher between submission and end: what was asked, what was said so far, and where it stands. As
// its engine's listener it stays where it is while it generates. On the event loop.

#include <memory>
#include <string>
#include <vector>

#include "agent/dispatcher.h"

namespace skep::agent {

struct Dispatcher::Task final : model::GenerationListener {
  Task(Dispatcher& d, TaskRequest r, Plan p, std::shared_ptr<TaskListener> l)
      : dispatcher(d), request(std::move(r)), plan(std::move(p)), listener(std::move(l)) {}
  ~Task() override;  // cancels its generation

  void piece(engine::Piece piece) override;
  void finished(const engine::Finished& finished) override { dispatcher.engine_finished(*this, finished); }
  void failed(const Error& error) override { dispatcher.engine_failed(*this, error); }

  // A new attempt: what to ask the engine for, which is what comes behind that which was said already.
  engine::Generate begin(TimePoint now);
  // Whether another engine, or the same later, can go on token for token.
  [[nodiscard]] bool can_resume() const { return raw_text.empty() || tells_ids; }
  // … or with the text that was said as the beginning of its answer.
  [[nodiscard]] bool can_be_prefixed() const;
  void tell(const language::Delta& delta);
  // Takes `message` along.
  TaskResult result(const engine::Finished& finished, TimePoint now);

  Dispatcher& dispatcher;
  TaskId id = 0;
  TaskRequest request;
  Plan plan;
  std::shared_ptr<TaskListener> listener;
  TimePoint submitted{}, started{}, first_token{};
  Duration load{};  // that its model took to load while it waited
  int attempts = 0;
  int load_failures = 0;

  model::Lease lease;
  engine::RequestId generation = 0;
  std::unique_ptr<AnswerReader> reader;
  language::Message message;                      // what the listener has heard
  std::string raw_text;                           // what the engine said, markup included
  std::vector<engine::Token> raw_ids;             // its tokens
  bool tells_ids = true;                          // all of them
  int completion_tokens = 0, earlier_tokens = 0;  // of this attempt; of those before it
};

}  // namespace skep::agent
