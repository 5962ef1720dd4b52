#include "model/worker_engine.h"

#include <algorithm>
#include <cassert>
#include <filesystem>
#include <map>
#include <optional>
#include <system_error>
#include <utility>
#include <variant>

#include "model/worker_link.h"

namespace skep::model {

namespace {

using EmbedDone = std::function<void(Result<engine::Embeddings>)>;
using TokenizeDone = std::function<void(Result<engine::Tokens>)>;
using ScoreDone = std::function<void(Result<engine::Scores>)>;
using Request = std::variant<GenerationListener*, EmbedDone, TokenizeDone, ScoreDone>;

Bytes on_host(const engine::Loaded& loaded) {
  Bytes sum;
  for (const engine::MemoryUse& use : loaded.memory) {
    if (use.device == "host") sum += use.total();
  }
  return sum;
}

void fail_request(Request request, const Error& error) {
  if (auto* listener = std::get_if<GenerationListener*>(&request))
    (*listener)->failed(error);
  else if (auto* embedded = std::get_if<EmbedDone>(&request))
    (*embedded)(fail(error));
  else if (auto* scored = std::get_if<ScoreDone>(&request))
    (*scored)(fail(error));
  else
    std::get<TokenizeDone>(request)(fail(error));
}

// One worker from its start to its end. Shared, because those it tells may destroy the engine while it tells them.
struct Worker : std::enable_shared_from_this<Worker> {
  Worker(AsioEventLoop& event_loop, const WorkerOptions& worker_options, engine::LoadOptions load_options)
      : loop(event_loop), options(worker_options), load(std::move(load_options)) {}

  // `expected`: what it will need by an earlier measurement; watched from the start.
  void begin(std::optional<Bytes> expected, std::function<void(Result<engine::Loaded>)> done) {
    ready = std::move(done);
    WorkerLink::Listener listener{.message =
                                      [weak = weak_from_this()](engine::RequestId request, engine::Message message) {
                                        if (auto self = weak.lock()) self->heard(request, std::move(message));
                                      },
                                  .ended =
                                      [weak = weak_from_this()](const Error& error) {
                                        if (auto self = weak.lock()) self->ended(error);
                                      }};
    auto started = WorkerLink::start(loop, options, load, std::move(listener));
    if (!started) {
      loop.post([self = shared_from_this(), error = started.error()] { self->ended(error); });
      return;
    }
    link = std::move(*started);
    if (expected) link->set_memory_limit(*expected + options.overhead + options.memory_slack);
  }

  void heard(engine::RequestId id, engine::Message message) {
    if (auto* hello = std::get_if<engine::Hello>(&message)) return greet(*hello);
    if (auto* said = std::get_if<engine::Loaded>(&message)) return has_loaded(std::move(*said));
    if (auto* beat = std::get_if<engine::Heartbeat>(&message)) {
      heartbeat = *beat;
      return;
    }
    auto request = requests.find(id);
    if (request == requests.end()) return;  // cancelled, or progress of loading
    if (auto* piece = std::get_if<engine::Piece>(&message)) {
      if (auto* listener = std::get_if<GenerationListener*>(&request->second)) (*listener)->piece(std::move(*piece));
      return;
    }
    Request answered = std::move(requests.extract(request).mapped());
    if (auto* failed = std::get_if<engine::Failed>(&message)) return fail_request(std::move(answered), failed->error);
    if (auto* finished = std::get_if<engine::Finished>(&message)) {
      if (auto* listener = std::get_if<GenerationListener*>(&answered)) return (*listener)->finished(*finished);
    } else if (auto* embeddings = std::get_if<engine::Embeddings>(&message)) {
      if (auto* done = std::get_if<EmbedDone>(&answered)) return (*done)(std::move(*embeddings));
    } else if (auto* scores = std::get_if<engine::Scores>(&message)) {
      if (auto* done = std::get_if<ScoreDone>(&answered)) return (*done)(std::move(*scores));
    } else if (auto* tokens = std::get_if<engine::Tokens>(&message)) {
      if (auto* done = std::get_if<TokenizeDone>(&answered)) return (*done)(std::move(*tokens));
    }
    fail_request(std::move(answered),
                 {ErrorCode::internal, "the engine worker gave an answer to another question", {}});
  }

  void greet(const engine::Hello& hello) {
    if (hello.version != engine::kWireVersion) {
      link->kill({ErrorCode::unavailable,
                  fmt::format("the engine worker speaks version {} of the protocol, not {}", hello.version,
                              engine::kWireVersion),
                  "restart skep: its binary was replaced while it ran"});
      return;
    }
    link->send_always(0, engine::Hello{.version = engine::kWireVersion, .process = 0});
    link->send_always(0, load);
  }

  void has_loaded(engine::Loaded said) {
    if (!ready) return;
    loaded = std::move(said);
    link->set_silence(options.silence);
    link->set_memory_limit(on_host(loaded) + options.overhead + options.memory_slack);
    std::exchange(ready, nullptr)(loaded);
  }

  void ended(const Error& error) {
    gone = true;
    fail_all(error);
    if (ready) std::exchange(ready, nullptr)(fail(error));
    if (stopped)
      std::exchange(stopped, nullptr)();
    else if (died)
      std::exchange(died, nullptr)(error);
  }

  // One by one: hearing of one failure may cancel others.
  void fail_all(const Error& error) {
    while (!requests.empty()) fail_request(std::move(requests.extract(requests.begin()).mapped()), error);
  }

  engine::RequestId ask(Request request, const engine::Message& message) {
    engine::RequestId id = next++;
    Status sent = requests.size() < options.most_requests
                      ? link->send(id, message)
                      : Status(fail(ErrorCode::overloaded,
                                    fmt::format("{} requests are at this engine already", options.most_requests)));
    requests.emplace(id, std::move(request));
    if (!sent) {
      loop.post([weak = weak_from_this(), id, error = sent.error()] {
        auto self = weak.lock();
        if (!self) return;
        auto node = self->requests.extract(id);
        if (!node.empty()) fail_request(std::move(node.mapped()), error);
      });
    }
    return id;
  }

  void cancel(engine::RequestId id) {
    if (requests.erase(id) > 0) link->send_always(id, engine::Cancel{});
  }

  void stop(std::function<void()> when_gone) {
    fail_all({ErrorCode::unavailable, "the engine was stopped", {}});
    stopped = std::move(when_gone);
    if (!gone) return link->stop();
    loop.post([self = shared_from_this()] {
      if (self->stopped) std::exchange(self->stopped, nullptr)();
    });
  }

  AsioEventLoop& loop;
  const WorkerOptions options;
  const engine::LoadOptions load;
  std::unique_ptr<WorkerLink> link;
  engine::Loaded loaded;
  engine::Heartbeat heartbeat;
  std::map<engine::RequestId, Request> requests;  // in flight
  engine::RequestId next = 1;
  bool gone = false;
  std::function<void(Result<engine::Loaded>)> ready;
  std::function<void(const Error&)> died;
  std::function<void()> stopped;
};

class WorkerEngine final : public Engine {
 public:
  explicit WorkerEngine(std::shared_ptr<Worker> worker) : worker_(std::move(worker)) {}
  ~WorkerEngine() override {
    worker_->requests.clear();
    worker_->died = nullptr;
    worker_->stopped = nullptr;
    worker_->link.reset();  // kills it, if it is still there
  }
  [[nodiscard]] const engine::Loaded& loaded() const override { return worker_->loaded; }
  [[nodiscard]] engine::Heartbeat heartbeat() const override { return worker_->heartbeat; }
  [[nodiscard]] int slots() const override { return std::max(1, worker_->load.sequences); }
  [[nodiscard]] Bytes resident_memory() const override { return worker_->link->memory(); }
  [[nodiscard]] int process_id() const override { return worker_->link->process_id(); }
  engine::RequestId generate(engine::Generate request, GenerationListener& listener) override {
    return worker_->ask(&listener, std::move(request));
  }
  void cancel(engine::RequestId request) override { worker_->cancel(request); }
  engine::RequestId embed(engine::Embed request, EmbedDone done) override {
    return worker_->ask(std::move(done), std::move(request));
  }
  void score(engine::Score request, ScoreDone done) override { worker_->ask(std::move(done), std::move(request)); }
  void tokenize(engine::Tokenize request, TokenizeDone done) override {
    worker_->ask(std::move(done), std::move(request));
  }
  void on_death(std::function<void(const Error&)> heard) override { worker_->died = std::move(heard); }
  void stop(std::function<void()> gone) override { worker_->stop(std::move(gone)); }

 private:
  std::shared_ptr<Worker> worker_;
};

// What a measurement is known by: the options, and the file as it was.
struct Measured {
  engine::LoadOptions options;
  uintmax_t size = 0;
  std::filesystem::file_time_type time;
  engine::Loaded loaded;
};
constexpr size_t kMeasurementsKept = 256;

}  // namespace

struct WorkerFactory::Impl : std::enable_shared_from_this<Impl> {
  Impl(AsioEventLoop& event_loop, WorkerOptions worker_options)
      : loop(event_loop), options(std::move(worker_options)) {}

  // The size and time of the file now, in an entry without its answer.
  static Result<Measured> look(const engine::LoadOptions& options) {
    std::error_code error;
    Measured entry{.options = options};
    entry.options.measure_only = false;
    entry.size = std::filesystem::file_size(options.path, error);
    if (!error) entry.time = std::filesystem::last_write_time(options.path, error);
    if (error) return fail(ErrorCode::not_found, fmt::format("{}: {}", options.path, error.message()));
    return entry;
  }

  [[nodiscard]] const Measured* known(const Measured& wanted) const {
    auto entry = std::ranges::find_if(measured, [&](const Measured& each) {
      return each.options == wanted.options && each.size == wanted.size && each.time == wanted.time;
    });
    return entry == measured.end() ? nullptr : &*entry;
  }

  void remember(Measured entry) {
    if (known(entry) != nullptr) return;
    if (measured.size() >= kMeasurementsKept) measured.erase(measured.begin());
    measured.push_back(std::move(entry));
  }

  AsioEventLoop& loop;
  const WorkerOptions options;
  std::vector<Measured> measured;                    // the oldest first
  std::map<Worker*, std::shared_ptr<Worker>> young;  // that measure or load
};

WorkerFactory::WorkerFactory(AsioEventLoop& loop, WorkerOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {}
WorkerFactory::~WorkerFactory() = default;

Bytes WorkerFactory::overhead(const engine::LoadOptions& /*options*/) const { return impl_->options.overhead; }

void WorkerFactory::measure(const engine::LoadOptions& options, std::function<void(Result<engine::Loaded>)> done) {
  auto entry = Impl::look(options);
  const Measured* known = entry ? impl_->known(*entry) : nullptr;
  if (!entry || known != nullptr) {
    Result<engine::Loaded> answer = known != nullptr ? Result<engine::Loaded>(known->loaded) : fail(entry.error());
    return impl_->loop.post([answer = std::move(answer), done = std::move(done)] { done(answer); });
  }
  engine::LoadOptions only = options;
  only.measure_only = true;
  auto worker = std::make_shared<Worker>(impl_->loop, impl_->options, std::move(only));
  impl_->young.emplace(worker.get(), worker);
  // The answer is passed on when the process is gone: its memory doesn't stand in the ledger.
  auto answer = std::make_shared<std::optional<Result<engine::Loaded>>>();
  auto finish = [weak = std::weak_ptr(impl_), raw = worker.get(), entry = std::move(*entry), answer,
                 done = std::move(done)]() mutable {
    auto impl = weak.lock();
    if (!impl) return;
    auto keep = impl->young.extract(raw);
    if (**answer) {
      entry.loaded = ***answer;
      impl->remember(std::move(entry));
    }
    done(std::move(**answer));
  };
  worker->died = [finish](const Error&) mutable { finish(); };
  worker->begin(std::nullopt, [raw = worker.get(), answer](Result<engine::Loaded> loaded) {
    *answer = std::move(loaded);
    if (*answer && **answer) raw->link->stop();  // ends by itself; if it doesn't, it is made to
  });
}

void WorkerFactory::start(const engine::LoadOptions& options,
                          std::function<void(Result<std::unique_ptr<Engine>>)> done) {
  auto entry = Impl::look(options);
  std::optional<Bytes> expected;
  if (entry) {
    if (const Measured* known = impl_->known(*entry)) expected = on_host(known->loaded);
  }
  engine::LoadOptions load = options;
  load.measure_only = false;
  auto worker = std::make_shared<Worker>(impl_->loop, impl_->options, std::move(load));
  impl_->young.emplace(worker.get(), worker);
  worker->begin(expected, [weak = std::weak_ptr(impl_), raw = worker.get(),
                           done = std::move(done)](Result<engine::Loaded> loaded) {
    auto impl = weak.lock();
    if (!impl) return;
    std::shared_ptr<Worker> grown = std::move(impl->young.extract(raw).mapped());
    if (!loaded) return done(fail(loaded.error()));
    done(std::make_unique<WorkerEngine>(std::move(grown)));
  });
}

}  // namespace skep::model
