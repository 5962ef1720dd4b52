#include "daemon/daemon_context.h"

#include <algorithm>
#include <utility>

namespace skep::daemon {
namespace {

constexpr const char* kSummarise =
    "You shorten conversations. Write what matters of the following part: names, numbers, decisions, what was asked "
    "and what is still open. Short sentences, no introduction.";

// Tells how the summary ended, also where somebody cancelled its task: then nobody listens any more.
class Summary final : public agent::TaskListener {
 public:
  explicit Summary(std::function<void(Result<std::string>)> done) : done_(std::move(done)) {}
  ~Summary() override {
    if (done_) done_(fail(ErrorCode::cancelled, "the summary was cancelled"));
  }
  Summary(const Summary&) = delete;
  Summary& operator=(const Summary&) = delete;
  void delta(const language::Delta& delta) override { text_ += delta.content; }
  void finished(const agent::TaskResult& /*result*/) override {
    const bool empty = text_.find_first_not_of(" \t\r\n") == text_.npos;
    tell(empty ? fail(ErrorCode::internal, "an empty summary") : Result<std::string>(std::move(text_)));
  }
  void failed(const agent::TaskFailure& failure) override { tell(fail(failure.error)); }

 private:
  void tell(Result<std::string> summary) {
    if (auto done = std::exchange(done_, nullptr)) done(std::move(summary));
  }

  std::string text_;
  std::function<void(Result<std::string>)> done_;
};

}  // namespace

std::string archive_tag(const std::string& conversation) {
  constexpr size_t kLongest = 200;  // a tag may be longer, and a name's end tells it from others
  return "conversation:" + conversation.substr(conversation.size() - std::min(conversation.size(), kLongest));
}

void DaemonContext::count(const std::vector<language::Message>& messages, std::function<void(Result<int>)> done) {
  agent::TaskRequest request = request_;
  request.input.messages = messages;
  auto plan = parts_.planner.plan(request);
  if (!plan) {
    parts_.loop.post([done = std::move(done), error = plan.error()] { done(fail(error)); });
    return;
  }
  engine::Tokenize input;
  input.messages = std::move(plan->generate.messages);
  parts_.backend.tokenize(plan->route.model, std::move(input),
                          [done = std::move(done)](const Result<engine::Tokens>& tokens) {
                            if (!tokens) return done(fail(tokens.error()));
                            done(static_cast<int>(tokens->tokens.size()));
                          });
}

void DaemonContext::summarise(std::string text, int tokens, std::function<void(Result<std::string>)> done) {
  agent::TaskRequest request;
  request.model = "fast";
  request.caller = request_.caller;
  request.priority = scheduling::Priority::background;
  request.input.messages = {{"system", kSummarise, {}, {}, {}, {}}, {"user", std::move(text), {}, {}, {}, {}}};
  request.input.overrides.max_tokens = tokens;
  request.input.overrides.temperature = 0.0F;
  request.input.think = false;
  parts_.dispatcher.submit(std::move(request), std::make_shared<Summary>(std::move(done)));
}

void DaemonContext::archive(const std::string& conversation, std::vector<std::string> texts,
                            std::function<void()> done) {
  memory::MemoryService* memory = parts_.memory;
  // Without an agent it would be everybody's.
  if (memory == nullptr || request_.agent.empty()) return parts_.loop.post(std::move(done));
  std::vector<memory::NewFact> facts;
  for (std::string& text : texts) {
    memory::NewFact fact;
    fact.agent = request_.agent;
    if (text.size() > memory::kMostFactText) {
      text.resize(memory::kMostFactText);
      while (!text.empty() && (static_cast<uint8_t>(text.back()) & 0x80U) != 0) text.pop_back();
    }
    fact.text = std::move(text);
    fact.source = "conversation";
    fact.tags = {archive_tag(conversation)};
    fact.verbatim = true;
    if (request_.conversation.empty()) fact.tags.emplace_back(kUnnamedTag);
    facts.push_back(std::move(fact));
  }
  // A memory that fails costs recalling, not the conversation.
  memory->add(std::move(facts), [done = std::move(done)](const Result<std::vector<memory::Added>>&) { done(); });
}

void DaemonContext::recall(const std::string& conversation, const std::string& question, size_t most,
                           std::function<void(std::vector<std::string>)> done) {
  memory::MemoryService* memory = parts_.memory;
  if (memory == nullptr || request_.agent.empty() || question.empty()) {
    return parts_.loop.post([done = std::move(done)] { done({}); });
  }
  memory::Query query;
  query.text = question;
  query.limit = most;
  query.filter.agent = request_.agent;
  query.filter.with_shared = false;
  query.filter.tags = {archive_tag(conversation)};
  // A name that the question shares with one message says more than what a small embedder thinks of them.
  query.blend = memory::Blend::ranks;
  memory->search(std::move(query), [done = std::move(done)](const Result<std::vector<memory::Hit>>& hits) {
    std::vector<std::string> texts;
    if (hits) {
      for (const memory::Hit& hit : *hits) texts.push_back(hit.fact.text);
    }
    done(std::move(texts));
  });
}

}  // namespace skep::daemon
