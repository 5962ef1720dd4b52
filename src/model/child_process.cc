#include "model/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cassert>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <string_view>

extern char** environ;  // NOLINT: POSIX declares it nowhere

namespace skep::model {

namespace asio = boost::asio;

namespace {

constexpr size_t kOutputKept = 4096;
constexpr Duration kReapPoll = std::chrono::milliseconds(20);  // where the kernel has no pidfd

// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int take() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::vector<std::string> merged_environment(const ChildOptions& options) {
  std::map<std::string, std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view text = *entry;
    size_t equals = text.find('=');
    if (equals != std::string_view::npos) merged.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  for (const auto& [name, value] : options.environment) merged[name] = value;
  std::vector<std::string> lines;
  for (const auto& [name, value] : merged) lines.push_back(name + "=" + value);
  return lines;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& string : strings) result.push_back(string.data());
  result.push_back(nullptr);
  return result;
}

// What fork() leaves us may use async-signal-safe calls only: the daemon has other threads, and one of them may have
// held the allocator's lock.
[[noreturn]] void become(const char* executable, char* const* arguments, char* const* environment, int socket,
                         int output, const ChildOptions& options, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(126);  // the parent died before the line above
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  if (options.nice > 0) ::setpriority(PRIO_PROCESS, 0, std::min(19, ::getpriority(PRIO_PROCESS, 0) + options.nice));
  if (options.data_limit > Bytes(0)) {
    const auto bytes = static_cast<rlim_t>(options.data_limit.count);
    const rlimit limit{bytes, bytes};
    ::setrlimit(RLIMIT_DATA, &limit);  // fails only where ours is lower already
  }
  int null = ::open("/dev/null", O_RDWR);
  // Above those that are replaced below, so that no dup2() closes another's source.
  int high_socket = ::fcntl(socket, F_DUPFD, 10), high_output = ::fcntl(output, F_DUPFD, 10);
  if (null < 0 || high_socket < 0 || high_output < 0) ::_exit(126);
  if (::dup2(null, 0) < 0 || ::dup2(high_output, 1) < 0 || ::dup2(high_output, 2) < 0 ||
      ::dup2(high_socket, kChildSocket) < 0)
    ::_exit(126);
  if (::syscall(SYS_close_range, kChildSocket + 1, ~0U, 0) != 0) {
    for (int fd = kChildSocket + 1; fd < 65536; ++fd) ::close(fd);
  }
  ::execve(executable, arguments, environment);
  ::_exit(127);
}

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name == nullptr ? fmt::format("signal {}", signal) : fmt::format("signal {} (SIG{})", signal, name);
}

Error io_error(const char* what) { return {ErrorCode::io, fmt::format("{}: {}", what, std::strerror(errno)), {}}; }

}  // namespace

std::string ChildExit::text() const {
  if (signal != 0) return "was killed by " + signal_name(signal);
  if (code == 127) return "could not be executed";
  return fmt::format("exited with code {}", code);
}

// Lives until the process is reaped, longer than the ChildProcess when that is destroyed first.
struct ChildProcess::State : std::enable_shared_from_this<State> {
  explicit State(AsioEventLoop& event_loop)
      : loop(event_loop), life(event_loop.context()), output(event_loop.context()) {}
  ~State() {
    if (pid > 0 && !reaped) ::waitpid(pid, nullptr, WNOHANG);
    if (socket >= 0) ::close(socket);
  }

  void signal_group(int signal) const {
    if (!reaped) ::kill(-pid, signal);
  }

  void watch() {
    int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (fd < 0) return reap_by_polling();
    life.assign(fd);
    watch_again();
  }

  void watch_again() {
    life.async_wait(asio::posix::stream_descriptor::wait_read,
                    [self = shared_from_this()](const boost::system::error_code& error) {
                      if (!self->reap() && !error) self->watch_again();
                    });
  }

  void reap_by_polling() {
    loop.after(kReapPoll, [self = shared_from_this()] {
      if (!self->reap()) self->reap_by_polling();
    });
  }

  bool reap() {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == EINTR)
      return false;
    if (info.si_pid == 0 && errno != ECHILD) return false;
    // Descendants that it left in its group: now, as long as the number can't become another's.
    ::kill(-pid, SIGKILL);
    int status = 0;
    ChildExit how;
    if (::waitpid(pid, &status, WNOHANG) == pid) {
      if (WIFSIGNALED(status)) how.signal = WTERMSIG(status);
      if (WIFEXITED(status)) how.code = WEXITSTATUS(status);
    }
    reaped = true;
    loop.cancel(kill_timer);
    boost::system::error_code ignored;
    (void)life.close(ignored);
    read_rest();
    // Not from inside start(), and not from inside a destructor: reap() runs in a handler of its own.
    if (auto heard = std::exchange(exited, nullptr)) heard(how);
    return true;
  }

  void read_output() {
    output.async_read_some(asio::buffer(chunk),
                           [self = shared_from_this()](const boost::system::error_code& error, size_t size) {
                             if (error || self->reaped) return;
                             self->keep({self->chunk.data(), size});
                             self->read_output();
                           });
  }

  // What still lies in the pipe when the process has ended; a grandchild may hold it open, so this doesn't wait.
  void read_rest() {
    boost::system::error_code error;
    (void)output.non_blocking(true, error);
    for (int i = 0; i < 16 && !error; ++i) {
      size_t size = output.read_some(asio::buffer(chunk), error);
      if (!error) keep({chunk.data(), size});
    }
    (void)output.close(error);
  }

  void keep(std::string_view text) {
    kept.append(text);
    if (kept.size() > kOutputKept) kept.erase(0, kept.size() - kOutputKept);
  }

  AsioEventLoop& loop;
  pid_t pid = 0;
  int socket = -1;
  bool reaped = false;
  asio::posix::stream_descriptor life;  // the pidfd
  asio::posix::stream_descriptor output;
  std::array<char, 4096> chunk{};
  std::string kept;
  TimerId kill_timer = TimerId::none;
  std::function<void(const ChildExit&)> exited;
};

ChildProcess::ChildProcess(std::shared_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(AsioEventLoop& loop, const ChildOptions& options,
                                                          std::function<void(const ChildExit&)> exited) {
  if (::access(options.executable.c_str(), X_OK) != 0) {
    return fail(ErrorCode::not_found,
                fmt::format("'{}' can't be executed: {}", options.executable, std::strerror(errno)));
  }
  std::array<int, 2> sockets{}, pipes{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) != 0) return fail(io_error("socketpair"));
  Descriptor ours(sockets[0]), theirs(sockets[1]);
  if (::pipe2(pipes.data(), O_CLOEXEC) != 0) return fail(io_error("pipe"));
  Descriptor read_end(pipes[0]), write_end(pipes[1]);

  std::vector<std::string> arguments = {options.executable};
  arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
  std::vector<std::string> environment = merged_environment(options);
  std::vector<char*> argument_pointers = pointers(arguments), environment_pointers = pointers(environment);
  pid_t parent = ::getpid();
  pid_t pid = ::fork();
  if (pid < 0) return fail(io_error("fork"));
  if (pid == 0) {
    become(options.executable.c_str(), argument_pointers.data(), environment_pointers.data(), theirs.get(),
           write_end.get(), options, parent);
  }
  ::setpgid(pid, pid);  // here as well as there: a signal to the group must not come before the group
  std::ofstream(fmt::format("/proc/{}/oom_score_adj", pid)) << options.oom_score_adj;

  auto state = std::make_shared<State>(loop);
  state->pid = pid;
  state->socket = ours.take();
  state->exited = std::move(exited);
  state->output.assign(read_end.take());
  state->watch();
  state->read_output();
  return std::unique_ptr<ChildProcess>(new ChildProcess(std::move(state)));
}

ChildProcess::~ChildProcess() {
  state_->exited = nullptr;
  kill();
}

int ChildProcess::id() const { return state_->pid; }

int ChildProcess::take_socket() {
  assert(state_->socket >= 0);
  return std::exchange(state_->socket, -1);
}

std::string ChildProcess::last_output() const {
  std::string text = state_->kept;
  for (char& c : text) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f) c = ' ';
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

void ChildProcess::terminate(Duration grace) {
  if (state_->reaped) return;
  state_->signal_group(SIGTERM);
  state_->loop.cancel(state_->kill_timer);
  state_->kill_timer = state_->loop.after(grace, [state = state_] { state->signal_group(SIGKILL); });
}

void ChildProcess::kill() { state_->signal_group(SIGKILL); }

}  // namespace skep::model
