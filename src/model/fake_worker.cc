// A stand-in for `skep engine` that does what a script says: the "model file" that it is given. It speaks the real
// protocol over the real socket; tests use it to see what the daemon makes of workers that misbehave.
//
// The script has one `key value` per line:
//   weights N        bytes that Loaded and measurements report              overhead is what this process takes
//   fail_load TEXT   Failed (corrupt) instead of Loaded                     exit_on_load N, abort_on_load 1,
//   hang_on_load 1 tokens N         pieces per generation ("w1 ", "w2 " …)                 token_ms N between two
//   pieces kill_after N     SIGKILL to itself after so many pieces                 exit_after N, hang_after N,
//   garbage_after N hang_up_after N  closes the socket and lives on                         last_word_after N: Failed
//   for request 0 eat N            touches so many bytes when it is asked to generate say TEXT         written to
//   stderr at once                              version N: of the protocol deaf 1           reads nothing after it has
//   loaded

#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "engine/wire.h"

namespace skep::engine {
namespace {

using SteadyClock = std::chrono::steady_clock;

class FakeWorker {
 public:
  explicit FakeWorker(int fd) : fd_(fd) {}

  int run() {
    send(0, Hello{.version = kWireVersion, .process = ::getpid()});
    auto next_beat = SteadyClock::now();
    for (;;) {
      if (loaded_ && SteadyClock::now() >= next_beat) {
        send(0, Heartbeat{.generating = static_cast<int>(running_.size())});
        next_beat = SteadyClock::now() + std::chrono::milliseconds(50);
      }
      if (!script_.contains("deaf") || !loaded_) {
        if (!receive(running_.empty() ? 10 : 0)) return 0;
      }
      step();
    }
  }

 private:
  struct Generation {
    RequestId id;
    int said = 0;
  };

  [[nodiscard]] int64_t number(const std::string& key) const {
    auto entry = script_.find(key);
    return entry == script_.end() ? 0 : std::atoll(entry->second.c_str());
  }
  [[nodiscard]] bool now(const std::string& key, int said) const {
    return script_.contains(key) && number(key) == said;
  }

  void send(RequestId request, const Message& message) {
    std::string bytes = encode(request, message).value();
    for (size_t done = 0; done < bytes.size();) {
      ssize_t size = ::write(fd_, bytes.data() + done, bytes.size() - done);
      if (size <= 0) std::_Exit(9);
      done += static_cast<size_t>(size);
    }
  }

  [[noreturn]] static void hang() {
    for (;;) ::pause();
  }

  bool receive(int wait_ms) {
    pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, wait_ms) <= 0) return true;
    char chunk[65536];
    ssize_t size = ::read(fd_, chunk, sizeof chunk);
    if (size <= 0) return false;
    decoder_.feed({chunk, static_cast<size_t>(size)});
    while (auto frame = decoder_.next().value()) {
      if (!hear(frame->request, decode(*frame).value())) return false;
    }
    return true;
  }

  bool hear(RequestId id, const Message& message) {
    if (std::holds_alternative<Shutdown>(message)) return false;
    if (const auto* options = std::get_if<LoadOptions>(&message)) return load(*options);
    if (std::holds_alternative<Generate>(message)) {
      if (int64_t bytes = number("eat"); bytes > 0) {
        eaten_.resize(static_cast<size_t>(bytes));
        for (size_t i = 0; i < eaten_.size(); i += 1024) eaten_[i] = 1;
      }
      running_.push_back({id});
    } else if (std::holds_alternative<Cancel>(message)) {
      std::erase_if(running_, [&](const Generation& each) { return each.id == id; });
      send(id, Finished{.reason = FinishReason::cancelled});
    } else if (const auto* embed = std::get_if<Embed>(&message)) {
      Embeddings answer;
      for (const std::string& input : embed->inputs) answer.vectors.push_back({static_cast<float>(input.size())});
      send(id, answer);
    } else if (const auto* score = std::get_if<Score>(&message)) {
      Scores answer;
      for (const char byte : score->text) answer.tokens.push_back({std::string(1, byte), -1, {}});
      send(id, answer);
    } else if (const auto* tokenize = std::get_if<Tokenize>(&message)) {
      Tokens answer;
      for (unsigned char byte : tokenize->text) answer.tokens.push_back(byte);
      send(id, answer);
    }
    return true;
  }

  bool load(const LoadOptions& options) {
    {
      std::ifstream file(options.path);
      std::string key, value;
      while (file >> key && std::getline(file >> std::ws, value)) script_[key] = value;
    }
    if (script_.contains("say")) std::fprintf(stderr, "%s\n", script_["say"].c_str());
    if (options.measure_only) {
      std::ofstream(options.path + ".measured", std::ios::app) << "x";
      send(0, loaded(options));
      return false;
    }
    if (script_.contains("exit_on_load")) std::_Exit(static_cast<int>(number("exit_on_load")));
    if (script_.contains("abort_on_load")) std::raise(SIGABRT);
    if (script_.contains("hang_on_load")) hang();
    if (script_.contains("fail_load")) {
      send(0, Failed{{ErrorCode::corrupt, script_["fail_load"], {}}});
      std::_Exit(1);
    }
    send(0, loaded(options));
    loaded_ = true;
    return true;
  }

  // The process's environment and group travel to the test in the name of the chat template.
  Loaded loaded(const LoadOptions& options) {
    const char* spin = std::getenv("GOMP_SPINCOUNT");
    const char* threads = std::getenv("OMP_NUM_THREADS");
    int death_signal = 0;
    ::prctl(PR_GET_PDEATHSIG, &death_signal);
    return {.memory = {{.device = "host", .weights = Bytes(number("weights"))}},
            .context_tokens = options.context_tokens,
            .chat_template = std::string("spin=") + (spin ? spin : "") + " threads=" + (threads ? threads : "") +
                             " own_group=" + (::getpgrp() == ::getpid() ? "1" : "0") +
                             " death_signal=" + std::to_string(death_signal)};
  }

  void step() {
    if (running_.empty()) return;
    ::usleep(static_cast<useconds_t>(1000 * number("token_ms")));
    std::deque<Generation> still;
    for (Generation& each : running_) {
      misbehave(each.said);
      if (each.said == number("tokens")) {
        send(each.id, Finished{.usage = {.completion_tokens = each.said}});
        continue;
      }
      ++each.said;
      send(each.id, Piece{.text = "w" + std::to_string(each.said) + " ", .tokens = 1});
      still.push_back(each);
    }
    running_ = std::move(still);
  }

  void misbehave(int said) {
    if (now("kill_after", said)) std::raise(SIGKILL);
    if (now("exit_after", said)) std::_Exit(3);
    if (now("hang_after", said)) hang();
    if (now("garbage_after", said)) (void)!::write(fd_, "this is not a frame at all", 26);
    if (now("last_word_after", said)) {
      send(0, Failed{{ErrorCode::unavailable, "the GPU is gone", {}}});
      std::_Exit(1);
    }
    if (now("hang_up_after", said)) {
      ::signal(SIGTERM, SIG_IGN);
      ::close(fd_);
      hang();
    }
  }

  int fd_;
  FrameDecoder decoder_;
  std::map<std::string, std::string> script_;
  bool loaded_ = false;
  std::deque<Generation> running_;
  std::vector<char> eaten_;
};

}  // namespace
}  // namespace skep::engine

int main(int count, char** arguments) {
  if (count != 4 || std::string(arguments[1]) != "engine" || std::string(arguments[2]) != "--fd") return 2;
  return skep::engine::FakeWorker(std::atoi(arguments[3])).run();
}
