#include "model/worker_link.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <cassert>
#include <deque>
#include <optional>
#include <utility>

#include "engine/worker_environment.h"
#include "model/child_process.h"
#include "model/process_memory.h"

namespace skep::model {

namespace asio = boost::asio;

namespace {
constexpr size_t kReadSize = 64U << 10;
// How long we go on reading what a dead worker had sent; only a grandchild that holds the socket can make it last.
constexpr Duration kLastWords = std::chrono::seconds(1);
}  // namespace

struct WorkerLink::State : std::enable_shared_from_this<State> {
  State(AsioEventLoop& event_loop, const WorkerOptions& worker_options, Listener to_tell)
      : loop(event_loop), options(worker_options), listener(std::move(to_tell)), socket(event_loop.context()) {}

  void open(std::unique_ptr<ChildProcess> child) {
    process = std::move(child);
    socket.assign(asio::local::stream_protocol(), process->take_socket());
    last_heard = loop.now();
    read();
    watch_silence();
    watch_memory();
  }

  // --- Reading

  void read() {
    socket.async_read_some(asio::buffer(chunk), [self = shared_from_this()](const boost::system::error_code& error,
                                                                            size_t size) { self->heard(error, size); });
  }

  void heard(const boost::system::error_code& error, size_t size) {
    if (closed) return;
    if (error) {
      socket_open = false;
      if (exited) return end();
      // It hung up but is still there: it gets the time to end by itself.
      if (!stopping && !reason) process->terminate(options.stop_grace);
      return;
    }
    last_heard = loop.now();
    decoder.feed({chunk.data(), size});
    for (;;) {
      auto frame = decoder.next();
      if (frame && !*frame) break;
      if (!frame) return garbage(frame.error());
      auto message = engine::decode(**frame);
      if (!message) return garbage(message.error());
      take((*frame)->request, std::move(*message));
      if (closed) return;  // the listener destroyed the link
    }
    read();
  }

  void take(engine::RequestId request, engine::Message message) {
    if (auto* failed = std::get_if<engine::Failed>(&message); failed != nullptr && request == 0) {
      last_word = std::move(failed->error);
      return;
    }
    if (listener.message) {
      auto heard_by = listener.message;  // a copy: it may destroy the link
      heard_by(request, std::move(message));
    }
  }

  void garbage(const Error& error) {
    kill({ErrorCode::unavailable,
          fmt::format("engine worker {} sent what is not the protocol: {}", process->id(), error.message),
          {}});
    socket_open = false;
    boost::system::error_code ignored;
    (void)socket.close(ignored);
    if (exited) end();
  }

  // --- Writing

  Status send(engine::RequestId request, const engine::Message& message, bool always) {
    if (exited || !socket_open || stopping) return fail(ErrorCode::unavailable, "the engine worker has ended");
    if (!always && unsent > static_cast<size_t>(options.most_unsent.count))
      return fail(ErrorCode::overloaded, "the engine worker is behind in reading its requests");
    SKEP_TRY(std::string bytes, engine::encode(request, message));
    unsent += bytes.size();
    queue.push_back(std::move(bytes));
    if (!writing) write();
    return {};
  }

  void write() {
    writing = true;
    asio::async_write(socket, asio::buffer(queue.front()),
                      [self = shared_from_this()](const boost::system::error_code& error, size_t) {
                        self->writing = false;
                        self->unsent -= self->queue.front().size();
                        self->queue.pop_front();
                        // A broken pipe shows on the reading side too, after what the worker had still sent.
                        if (!error && !self->closed && !self->queue.empty()) self->write();
                      });
  }

  // --- Watching

  void watch_silence() {
    // Looks four times per limit, so silence is noticed after at most 1.25 times the limit.
    silence_timer = loop.after(silence / 4, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self || self->closed || self->exited) return;
      if (self->loop.now() - self->last_heard >= self->silence) {
        self->kill({ErrorCode::unavailable,
                    fmt::format("engine worker {} said nothing for {:.1f} s and was killed", self->process->id(),
                                seconds(self->loop.now() - self->last_heard)),
                    {}});
        return;
      }
      self->watch_silence();
    });
  }

  void watch_memory() {
    memory_timer = loop.after(options.memory_poll, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self || self->closed || self->exited) return;
      // The walk over the page tables belongs to the pool; the process may be gone by then, its number reused even.
      auto measured = std::make_shared<Result<Bytes>>(Bytes(0));
      self->loop.blocking([measured, pid = self->process->id()] { *measured = process_tree_memory(pid); },
                          [weak, measured] {
                            auto link = weak.lock();
                            if (!link || link->closed || link->exited) return;
                            if (*measured) link->weigh(**measured);
                            link->watch_memory();
                          });
    });
  }

  void weigh(Bytes measured) {
    memory = measured;
    if (memory_limit == Bytes(0) || memory <= memory_limit) return;
    kill({ErrorCode::unavailable,
          fmt::format("engine worker {} took {} of memory, {} more than it may, and was killed", process->id(),
                      to_string(memory), to_string(memory - memory_limit)),
          "raise memory.worker_slack if the estimate for this model is too low"});
  }

  // --- The end

  void kill(Error why) {
    if (!reason) reason = std::move(why);
    process->kill();
  }

  void stop() {
    if (stopping || exited) return;
    (void)send(0, engine::Shutdown{}, true);
    stopping = true;
    stop_timer = loop.after(options.farewell, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (self && !self->closed && !self->exited) self->process->terminate(self->options.stop_grace);
    });
  }

  void has_exited(const ChildExit& how) {
    exited = how;
    if (!socket_open) return end();
    last_words_timer = loop.after(kLastWords, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->end();
    });
  }

  void end() {
    if (closed) return;
    close();
    if (auto ended = std::exchange(listener.ended, nullptr)) ended(why());
  }

  [[nodiscard]] Error why() const {
    if (reason) return *reason;
    if (last_word) return *last_word;
    std::string text = fmt::format("engine worker {} {}", process->id(), exited->text());
    std::string output = process->last_output();
    if (!output.empty()) text += "; it last wrote: " + output;
    return {ErrorCode::unavailable, std::move(text), {}};
  }

  void close() {
    closed = true;
    for (TimerId timer : {silence_timer, memory_timer, stop_timer, last_words_timer}) loop.cancel(timer);
    boost::system::error_code ignored;
    (void)socket.close(ignored);
  }

  AsioEventLoop& loop;
  const WorkerOptions options;
  Listener listener;
  std::unique_ptr<ChildProcess> process;
  asio::local::stream_protocol::socket socket;
  std::array<char, kReadSize> chunk{};
  engine::FrameDecoder decoder;
  std::deque<std::string> queue;  // the front one is being written
  size_t unsent = 0;              // bytes in `queue`
  bool writing = false;

  bool socket_open = true;
  bool stopping = false;
  bool closed = false;
  std::optional<ChildExit> exited;
  std::optional<Error> reason;     // ours to have killed it
  std::optional<Error> last_word;  // the worker's own

  Duration silence{};
  TimePoint last_heard{};
  Bytes memory, memory_limit;
  TimerId silence_timer = TimerId::none, memory_timer = TimerId::none, stop_timer = TimerId::none,
          last_words_timer = TimerId::none;
};

Result<std::unique_ptr<WorkerLink>> WorkerLink::start(AsioEventLoop& loop, const WorkerOptions& options,
                                                      const engine::LoadOptions& load, Listener listener) {
  ChildOptions child{.executable = options.executable, .arguments = options.arguments, .nice = options.nice};
  child.environment = engine::worker_environment();
  if (load.threads > 0) child.environment.emplace_back("OMP_NUM_THREADS", std::to_string(load.threads));
  if (options.host_budget) {
    const int64_t most = std::max<int64_t>(1, options.host_budget(load).count);
    child.environment.emplace_back(engine::kHostBudgetVariable, std::to_string(most));
  }
  child.environment.insert(child.environment.end(), options.environment.begin(), options.environment.end());

  auto state = std::make_shared<State>(loop, options, std::move(listener));
  state->silence = options.load_silence;
  SKEP_TRY(auto process, ChildProcess::start(loop, child, [weak = std::weak_ptr(state)](const ChildExit& how) {
             if (auto self = weak.lock()) self->has_exited(how);
           }));
  state->open(std::move(process));
  auto link = std::make_unique<WorkerLink>();
  link->state_ = std::move(state);
  return link;
}

WorkerLink::~WorkerLink() {
  if (!state_) return;
  state_->listener = {};
  if (!state_->closed) state_->close();
  state_->process->kill();
}

Status WorkerLink::send(engine::RequestId request, const engine::Message& message) {
  return state_->send(request, message, false);
}
void WorkerLink::send_always(engine::RequestId request, const engine::Message& message) {
  (void)state_->send(request, message, true);
}
void WorkerLink::set_silence(Duration silence) {
  state_->silence = silence;
  state_->loop.cancel(state_->silence_timer);
  state_->watch_silence();
}
void WorkerLink::set_memory_limit(Bytes most) { state_->memory_limit = most; }
Bytes WorkerLink::memory() const { return state_->memory; }
int WorkerLink::process_id() const { return state_->process->id(); }
void WorkerLink::stop() { state_->stop(); }
void WorkerLink::kill(Error reason) { state_->kill(std::move(reason)); }

}  // namespace skep::model
