#include "model_tools/answers.h"

#include <map>
#include <memory>

#include "base/asio_event_loop.h"
#include "model/http_engine.h"
#include "model/worker_engine.h"

namespace skep::model_tools {
namespace {

// Owns the loop for as long as the interview takes: one thread, one engine, `slots` questions in flight.
class Interviewer {
 public:
  Interviewer(const AnswererOptions& options, const Interview& interview) : options_(options), interview_(interview) {}

  Status run() {
    SKEP_CHECK(make_factory());
    engine::LoadOptions load;
    load.path = options_.model;
    load.context_tokens = options_.context_tokens;
    load.sequences = options_.slots;
    load.threads = options_.threads;
    load.forward = options_.forward;
    factory_->start(load, [this](Result<std::unique_ptr<model::Engine>> started) {
      if (!started) return end(fail(started.error()));
      engine_ = std::move(*started);
      engine_->on_death([this](const Error& why) { loop_.post([this, why] { end(fail(why)); }); });
      refill();
    });
    loop_.run();
    return result_;
  }

 private:
  struct Question final : model::GenerationListener {
    Interviewer* owner = nullptr;
    size_t index = 0;
    GivenAnswer answer;

    void piece(engine::Piece piece) override { answer.text += piece.text; }
    void finished(const engine::Finished& how) override {
      answer.finished = how;
      owner->settle(index, std::move(answer));
    }
    void failed(const Error& why) override { owner->settle(index, fail(why)); }
  };

  Status make_factory() {
    if (options_.url.empty()) {
      model::WorkerOptions worker;
      worker.executable = options_.executable;
      worker.arguments = options_.arguments;
      factory_ = std::make_unique<model::WorkerFactory>(loop_, worker);
      return {};
    }
    model::HttpEngineOptions http;
    http.url = options_.url;
    http.api_key_env = options_.api_key_env;
    http.slots = options_.slots;
    SKEP_TRY(factory_, model::HttpFactory::create(loop_, http));
    return {};
  }

  void refill() {
    if (ended_) return;
    while (next_ < interview_.questions && open_.size() < static_cast<size_t>(options_.slots)) {
      auto question = std::make_unique<Question>();
      question->owner = this;
      question->index = next_;
      engine::Generate request = interview_.ask(next_, engine_->loaded());
      Question& listener = *question;
      open_.emplace(next_++, std::move(question));
      engine_->generate(std::move(request), listener);
    }
    if (open_.empty()) end({});
  }

  // A question is over; its listener must outlive the call that we are in.
  void settle(size_t index, Result<GivenAnswer> answer) {
    loop_.post([this, index, answer = std::move(answer)] {
      if (ended_) return;
      open_.erase(index);
      if (!interview_.heard(index, answer)) return end(fail(ErrorCode::cancelled, "stopped"));
      refill();
    });
  }

  void end(Status result) {
    if (ended_) return;
    ended_ = true;
    result_ = std::move(result);
    if (engine_ == nullptr || !result_) return loop_.stop();  // the destructors end what there is
    engine_->stop([this] { loop_.stop(); });
  }

  const AnswererOptions& options_;
  const Interview& interview_;
  AsioEventLoop loop_{1};
  std::unique_ptr<model::EngineFactory> factory_;
  std::map<size_t, std::unique_ptr<Question>> open_;
  std::unique_ptr<model::Engine> engine_;  // after what it calls
  size_t next_ = 0;
  bool ended_ = false;
  Status result_;
};

}  // namespace

Status interview(const AnswererOptions& options, const Interview& interview) {
  Interviewer interviewer(options, interview);
  return interviewer.run();
}

}  // namespace skep::model_tools
