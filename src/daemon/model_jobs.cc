#include "daemon/model_jobs.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/json.hpp>
#include <thread>

#include "base/json.h"
#include "engine/worker_environment.h"
#include "model/child_process.h"

namespace skep::daemon {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

constexpr Bytes kPerCore = 32_MiB;
constexpr int kUsage = 2;              // the exit code of `skep` when it does not like its arguments
constexpr size_t kMostLine = 4 << 20;  // a result with every tensor of a large model

std::string owner_of(api::ModelJobId job) { return fmt::format("job {}", job); }

ErrorCode code_named(std::string_view name) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::internal); ++code) {
    if (name == to_string(static_cast<ErrorCode>(code))) return static_cast<ErrorCode>(code);
  }
  return ErrorCode::internal;
}

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

}  // namespace

// Shared with the reads under way, which then find it replaced.
struct RunningModelJobs::Run {
  explicit Run(AsioEventLoop& loop) : socket(loop.context()) {}
  api::ModelJobId job = 0;
  bool cancelled = false;
  std::unique_ptr<model::ChildProcess> process;
  asio::posix::stream_descriptor socket;
  std::array<char, 16384> chunk{};
  std::string line;
  std::string result;
  std::optional<Error> error;

  // Whole lines of what has come go to `heard`.
  template <typename Heard>
  void keep(std::string_view bytes, const Heard& heard) {
    line += bytes;
    size_t begin = 0;
    for (size_t end = line.find('\n'); end != line.npos; end = line.find('\n', begin)) {
      heard(line.substr(begin, end - begin));
      begin = end + 1;
    }
    line.erase(0, begin);
    if (line.size() > kMostLine) line.clear();
  }
};

RunningModelJobs::RunningModelJobs(AsioEventLoop& loop, ModelJobOptions options)
    : loop_(loop), options_(std::move(options)) {}

RunningModelJobs::~RunningModelJobs() {
  loop_.cancel(retry_);
  if (run_) run_->process.reset();
  run_.reset();
}

Result<api::ModelJobId> RunningModelJobs::start(api::ModelJobRequest request) {
  if (options_.folders.empty()) {
    return fail(ErrorCode::unsupported, "there is no model folder for a job to work in", "set model_folders");
  }
  SKEP_TRY(JobCommand command, job_command(request, options_.folders));
  if (queue_.size() >= options_.most_queued) {
    return fail(ErrorCode::overloaded, fmt::format("{} jobs are waiting already", queue_.size()));
  }
  const api::ModelJobId id = next_id_++;
  api::ModelJobView& job = jobs_[id];
  job.id = id;
  job.request = std::move(request);
  job.memory = command.memory;
  job.submitted = loop_.clock().wall();
  command.arguments.insert(command.arguments.end(), {"--json", "--progress-fd", std::to_string(model::kChildSocket)});
  commands_.emplace(id, std::move(command.arguments));
  queue_.push_back(id);
  next_soon();
  for (auto oldest = jobs_.begin(); jobs_.size() > options_.most_kept && oldest != jobs_.end();) {
    oldest = oldest->second.finished ? jobs_.erase(oldest) : std::next(oldest);
  }
  return id;
}

void RunningModelJobs::next_soon() {
  loop_.post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) next();
  });
}

void RunningModelJobs::next() {
  loop_.cancel(std::exchange(retry_, TimerId::none));
  if (run_ || queue_.empty()) return;
  const api::ModelJobId id = queue_.front();
  api::ModelJobView& job = view(id);
  const Result<bool> booked = options_.book ? options_.book(owner_of(id), job.memory) : Result<bool>(true);
  if (booked && !*booked) {
    job.stage = "waiting";
    job.detail = fmt::format("for {} of memory", to_string(job.memory));
    retry_ = loop_.after(options_.memory_retry, [this] { next(); });
    return;
  }
  queue_.pop_front();
  run_ = std::make_shared<Run>(loop_);
  run_->job = id;
  const auto command = commands_.extract(id);
  if (!booked) return over(api::ModelJobState::failed, booked.error());
  job.state = api::ModelJobState::running;
  job.stage = "starting";
  job.detail.clear();
  job.started = loop_.clock().wall();
  if (const Status launched = launch(command.mapped()); !launched) {
    return over(api::ModelJobState::failed, launched.error());
  }
  spdlog::info("job {}: {} started", id, job.request.tool);
  read();
}

Status RunningModelJobs::launch(const std::vector<std::string>& arguments) {
  model::ChildOptions child;
  child.executable = options_.executable;
  child.arguments = arguments;
  child.nice = options_.nice;
  child.environment = engine::worker_environment();
  // Stacks and what the allocator holds in reserve take addresses for every core, but hardly memory.
  child.data_limit =
      view(run_->job).memory + Bytes(static_cast<int64_t>(std::thread::hardware_concurrency()) * kPerCore.count);
  SKEP_TRY(run_->process,
           model::ChildProcess::start(loop_, child, [this](const model::ChildExit& how) { ended(how); }));
  run_->socket.assign(run_->process->take_socket());
  run_->socket.non_blocking(true);
  return {};
}

void RunningModelJobs::read() {
  run_->socket.async_read_some(asio::buffer(run_->chunk), [this, run = run_, alive = std::weak_ptr(alive_)](
                                                              const boost::system::error_code& failed, size_t size) {
    if (failed || alive.expired() || run_ != run) return;
    run->keep({run->chunk.data(), size}, [this](const std::string& line) { hear(line); });
    read();
  });
}

void RunningModelJobs::ended(const model::ChildExit& how) {
  boost::system::error_code error;
  for (size_t size = 1; size > 0 && !error;) {  // what it wrote last; the socket does not block
    size = run_->socket.read_some(asio::buffer(run_->chunk), error);
    if (!error) run_->keep({run_->chunk.data(), size}, [this](const std::string& line) { hear(line); });
  }
  if (how.code == 0 && how.signal == 0) return over(api::ModelJobState::done, std::nullopt);
  if (run_->cancelled) return over(api::ModelJobState::cancelled, std::nullopt);
  if (run_->error) return over(api::ModelJobState::failed, run_->error);
  const std::string said = run_->process->last_output();
  const ErrorCode code = how.code == kUsage ? ErrorCode::invalid_argument : ErrorCode::internal;
  over(api::ModelJobState::failed, Error{code, "the tool " + how.text() + (said.empty() ? "" : ": " + said), {}});
}

void RunningModelJobs::hear(const std::string& line) {
  const auto parsed = parse_json(line, "a job's progress", {.size = Bytes(kMostLine)});
  if (!parsed || !parsed->is_object()) return;
  const json::object& said = parsed->get_object();
  api::ModelJobView& job = view(run_->job);
  if (const json::value* result = said.if_contains("result")) {
    run_->result = json::serialize(*result);
  } else if (const json::value* error = said.if_contains("error"); error != nullptr && error->is_object()) {
    const json::object& e = error->get_object();
    run_->error = Error{code_named(text_of(e, "code")), text_of(e, "message"), text_of(e, "hint")};
  } else {
    job.stage = text_of(said, "stage");
    job.detail = text_of(said, "detail");
    const json::value* fraction = said.if_contains("fraction");
    if (fraction != nullptr && fraction->is_number()) job.fraction = fraction->to_number<double>();
  }
}

void RunningModelJobs::over(api::ModelJobState state, std::optional<Error> error) {
  api::ModelJobView& job = view(run_->job);
  job.state = state;
  job.finished = loop_.clock().wall();
  job.result = std::move(run_->result);
  job.error = std::move(error);
  if (state == api::ModelJobState::done) job.fraction = 1;
  job.stage = to_string(state);
  job.detail.clear();
  spdlog::info("job {}: {} {}", job.id, job.request.tool, to_string(state));
  if (options_.unbook) options_.unbook(owner_of(job.id));
  // The process object may be what called us: it goes with the next turn of the loop.
  loop_.post([run = std::exchange(run_, nullptr)] { run->process.reset(); });
  next_soon();
}

Status RunningModelJobs::cancel(api::ModelJobId id) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return fail(ErrorCode::not_found, fmt::format("there is no job {}", id));
  api::ModelJobView& job = found->second;
  if (job.state == api::ModelJobState::queued) {
    std::erase(queue_, id);
    commands_.erase(id);
    job.state = api::ModelJobState::cancelled;
    job.stage = to_string(job.state);
    job.finished = loop_.clock().wall();
    next_soon();
  } else if (run_ && run_->job == id && run_->process) {
    run_->cancelled = true;
    run_->process->terminate(options_.stop_grace);
  }
  return {};
}

std::vector<api::ModelJobView> RunningModelJobs::list() const {
  std::vector<api::ModelJobView> views;
  for (auto job = jobs_.rbegin(); job != jobs_.rend(); ++job) views.push_back(job->second);
  return views;
}

std::optional<api::ModelJobView> RunningModelJobs::find(api::ModelJobId id) const {
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace skep::daemon
