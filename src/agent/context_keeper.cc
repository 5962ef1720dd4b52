#include "agent/context_keeper.h"

#include <algorithm>
#include <utility>

#include "base/random.h"
#include "mind/language/complexity.h"

namespace skep::agent {
namespace {

using language::ConversationWindow;
using language::Message;

constexpr int kMostRounds = 12;  // summaries that one request waits for
constexpr int kFrame = 4;        // tokens around a message, about

int estimate(const Message& m) {
  int tokens = language::estimate_tokens(m.content) + kFrame;
  for (const auto& call : m.tool_calls) tokens += language::estimate_tokens(call.name + call.arguments);
  return tokens;
}

std::vector<int> estimates(const std::vector<Message>& messages) {
  std::vector<int> all;
  for (const Message& m : messages) all.push_back(estimate(m));
  return all;
}

std::string question_of(const std::vector<Message>& messages) {
  for (auto at = messages.rbegin(); at != messages.rend(); ++at) {
    if (at->role == "user") return at->content.substr(0, 2000);
  }
  return {};
}

// Conversations that began alike share an archive: what this one does not hold is not for it to see. A text may have
// been cut at its end.
void only_its_own(const std::vector<Message>& messages, std::vector<std::string>& recalled) {
  if (recalled.empty()) return;
  std::vector<std::string> own;
  for (size_t i = 0; i < messages.size(); ++i) own.push_back(language::transcript(messages, {i, i + 1}));
  std::erase_if(recalled, [&](const std::string& text) {
    return std::none_of(own.begin(), own.end(), [&](const std::string& mine) { return mine.starts_with(text); });
  });
}

// The end of a text, whole characters.
std::string tail(const std::string& text, size_t bytes) {
  std::string end = text.substr(text.size() - std::min(text.size(), bytes));
  while (!end.empty() && (static_cast<uint8_t>(end.front()) & 0xC0U) == 0x80U) end.erase(0, 1);
  return end;
}

constexpr double kBytesPerToken = 4;  // of what estimates assume

// A summary is a sixteenth of the budget: a window has room for some of them.
int summary_tokens(int budget) { return std::clamp(budget / 16, 48, 512); }

}  // namespace

struct ContextKeeper::Conversation {
  std::string key;
  ConversationWindow window;
  bool summarising = false;
  std::vector<std::function<void()>> waiting;  // for the summary under way
};

struct ContextKeeper::Job {
  std::shared_ptr<Conversation> conversation;
  std::vector<Message> messages;
  int budget = 0;
  std::shared_ptr<ContextServices> services;
  std::function<void(Result<Fitted>)> done;  // empty once it was called
  int rounds = 0;
  double scale = 1;  // counted tokens for each estimated one, at least 1: small vocabularies need many
  [[nodiscard]] size_t bytes_of(int tokens) const { return static_cast<size_t>(kBytesPerToken * tokens / scale); }
  std::vector<std::string> recalled;
  bool asked_memory = false;
  bool waited = false;
};

ContextKeeper::ContextKeeper(EventLoop& loop, ContextKeeperOptions options) : loop_(loop), options_(options) {}
ContextKeeper::~ContextKeeper() { *alive_ = false; }

std::string ContextKeeper::key_of(const std::string& caller, const std::string& agent,
                                  const std::vector<Message>& messages) {
  uint64_t hash = 1;
  for (const Message& m : messages) {
    hash = mix_bits(hash ^ std::hash<std::string>()(m.role + ":" + m.content));
    if (m.role == "user") break;
  }
  return fmt::format("{}/{}/{:016x}", caller, agent, hash);
}

std::shared_ptr<ContextKeeper::Conversation> ContextKeeper::find(const std::string& key,
                                                                 const std::vector<Message>& messages) {
  if (const auto known = conversations_.find(key); known != conversations_.end()) {
    order_.splice(order_.begin(), order_, known->second);
    auto& conversation = *known->second;
    // A history that was edited begins anew; who still waits for the old one keeps it alive.
    if (!conversation->window.continues(messages)) {
      conversation = std::make_shared<Conversation>(Conversation{key, ConversationWindow(options_.window), false, {}});
    }
    return conversation;
  }
  order_.push_front(std::make_shared<Conversation>(Conversation{key, ConversationWindow(options_.window), false, {}}));
  conversations_[key] = order_.begin();
  if (order_.size() > options_.conversations) {
    conversations_.erase(order_.back()->key);
    order_.pop_back();
  }
  return order_.front();
}

// Keys are "agent/conversation", or "caller/agent/hash" (key_of): one too many costs a summary that is made again.
void ContextKeeper::forget_agent(const std::string& agent) {
  std::erase_if(order_, [&](const std::shared_ptr<Conversation>& conversation) {
    const std::string& key = conversation->key;
    if (!key.starts_with(agent + "/") && key.find("/" + agent + "/") == key.npos) return false;
    conversations_.erase(key);
    return true;
  });
}

void ContextKeeper::prepare(const std::string& key, std::vector<Message> messages, int budget,
                            std::shared_ptr<ContextServices> services, std::function<void(Result<Fitted>)> done) {
  auto job = std::make_shared<Job>();
  job->conversation = find(key, messages);
  job->messages = std::move(messages);
  job->budget = budget;
  job->services = std::move(services);
  job->done = std::move(done);
  loop_.post([this, alive = alive_, job] {
    if (*alive) look(job);
  });
}

void ContextKeeper::look(const std::shared_ptr<Job>& job) {
  const auto laid = job->conversation->window.lay_out(job->messages, {});
  int estimated = 1;
  for (const int tokens : estimates(laid)) estimated += tokens;
  job->services->count(laid, [this, alive = alive_, job, estimated](const Result<int>& tokens) {
    if (!*alive) return;
    if (!tokens) return finish(job, fail(tokens.error()));
    job->scale = std::max(1.0, static_cast<double>(*tokens) / estimated);
    counted(job, *tokens);
  });
}

void ContextKeeper::counted(const std::shared_ptr<Job>& job, int tokens) {
  const bool full = tokens >= options_.window.summarise_at * job->budget;
  const bool over = tokens > job->budget;
  if (full) {
    const bool under_way = summarise(job);
    if (over && !under_way && ++job->rounds <= kMostRounds && shrink(job)) return look(job);
    if (over && !under_way) {
      return finish(job, fail(ErrorCode::too_large,
                              fmt::format("the last messages alone have {} tokens, the context has room for {}", tokens,
                                          job->budget),
                              "shorten them, or give the model a longer context"));
    }
  }
  if (over) {
    if (++job->rounds > kMostRounds) {
      return finish(job, fail(ErrorCode::too_large, "the conversation could not be summarised into its context"));
    }
    if (!std::exchange(job->waited, true)) ++counters_.waited;
    job->conversation->waiting.push_back([this, job] { look(job); });
    return;
  }
  if (!job->conversation->window.has_summaries() || options_.window.recalled == 0) {
    return finish(job, Fitted{job->conversation->window.lay_out(job->messages, {}), tokens, 0, 0});
  }
  if (std::exchange(job->asked_memory, true)) return with_recalled(job, job->recalled);
  job->services->recall(job->conversation->key, question_of(job->messages), options_.window.recalled,
                        [this, alive = alive_, job](std::vector<std::string> recalled) {
                          if (!*alive) return;
                          only_its_own(job->messages, recalled);
                          job->recalled = recalled;
                          with_recalled(job, std::move(recalled));
                        });
}

// As many of the recalled messages as there is room for, the most relevant first.
void ContextKeeper::with_recalled(const std::shared_ptr<Job>& job, std::vector<std::string> recalled) {
  // The summary under way may have ended meanwhile: lay_out() shows it, and the count is of what is sent.
  auto laid = job->conversation->window.lay_out(job->messages, recalled);
  job->services->count(
      laid, [this, alive = alive_, job, laid, recalled = std::move(recalled)](const Result<int>& tokens) mutable {
        if (!*alive) return;
        if (!tokens) return finish(job, fail(tokens.error()));
        if (*tokens > job->budget && !recalled.empty()) {
          recalled.pop_back();
          return with_recalled(job, std::move(recalled));
        }
        const size_t stand_for = job->messages.size() + job->conversation->window.summaries().size() +
                                 (recalled.empty() ? 0 : 1) - laid.size();
        finish(job, Fitted{std::move(laid), *tokens, stand_for, recalled.size()});
      });
}

void ContextKeeper::finish(const std::shared_ptr<Job>& job, Result<Fitted> fitted) {
  if (fitted) ++counters_.fitted;
  if (auto done = std::exchange(job->done, nullptr)) done(std::move(fitted));
}

// Starts a summary of the older half, unless one is under way. False: nothing can be summarised.
bool ContextKeeper::summarise(const std::shared_ptr<Job>& job) {
  const auto conversation = job->conversation;
  if (conversation->summarising) return true;
  const auto range = conversation->window.next_cut(job->messages, estimates(job->messages));
  if (!range) return false;
  conversation->summarising = true;
  std::vector<std::string> texts;
  for (size_t i = range->begin; i < range->end; ++i) {
    const ConversationWindow::Range one{i, i + 1};
    if (!job->messages[i].content.empty()) texts.push_back(language::transcript(job->messages, one));
  }
  const int tokens = summary_tokens(job->budget);
  const std::string text = language::transcript(job->messages, *range);
  // Kept first: what a summary stands for can be recalled from the moment it does.
  job->services->archive(
      conversation->key, std::move(texts), [this, alive = alive_, job, conversation, range = *range, text, tokens] {
        if (!*alive) return;
        job->services->summarise(text, tokens,
                                 [this, alive = alive_, job, conversation, range, tokens](Result<std::string> summary) {
                                   if (!*alive) return;
                                   ++(summary ? counters_.summaries : counters_.extracts);
                                   if (!summary)
                                     summary = language::extract(job->messages, range, job->bytes_of(tokens));
                                   conversation->window.add_summary(job->messages, range, std::move(*summary));
                                   merge(job);
                                 });
      });
  return true;
}

// Makes one of many summaries, or goes on without.
void ContextKeeper::merge(const std::shared_ptr<Job>& job) {
  const auto conversation = job->conversation;
  std::vector<int> tokens;
  for (const std::string& summary : conversation->window.summaries())
    tokens.push_back(static_cast<int>(job->scale * (language::estimate_tokens(summary) + kFrame)));
  const auto many = conversation->window.too_many_summaries(tokens, job->budget);
  if (many.empty()) return ready(conversation);
  std::string text;
  for (const std::string& summary : many) text += summary + "\n";
  const int most = 2 * summary_tokens(job->budget);
  job->services->summarise(
      text, most,
      [this, alive = alive_, job, conversation, count = many.size(), text, most](const Result<std::string>& merged) {
        if (!*alive) return;
        // Without a model the newest part of the old summaries stays.
        conversation->window.merge_summaries(count, merged ? *merged : tail(text, job->bytes_of(most)));
        ready(conversation);
      });
}

// The last messages fit and nothing else can be summarised, so the summaries are what is too long: their newest part
// stays. What they stood for can be recalled. False: they are short already.
bool ContextKeeper::shrink(const std::shared_ptr<Job>& job) {
  auto& window = job->conversation->window;
  if (!window.has_summaries()) return false;
  std::string text;
  for (const std::string& summary : window.summaries()) text += summary + "\n";
  const size_t most = std::min(job->bytes_of(job->budget / 8), text.size() / 2);
  constexpr size_t kShort = 24;
  if (most < kShort) return false;
  window.merge_summaries(window.summaries().size(), tail(text, most));
  return true;
}

void ContextKeeper::ready(const std::shared_ptr<Conversation>& conversation) {
  conversation->summarising = false;
  for (auto& wake : std::exchange(conversation->waiting, {})) wake();
}

}  // namespace skep::agent
