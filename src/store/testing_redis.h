#pragma once
// For tests: a Redis server of the test's own, on a Unix socket in its own folder, that can be killed and started
// again.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>

#include "store/redis_pool.h"

namespace skep::store {

class TestingRedis {
 public:
  TestingRedis() : folder_((std::filesystem::temp_directory_path() / fmt::format("skep-redis-{}", getpid())).string()) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    start();
  }
  ~TestingRedis() {
    kill();
    std::filesystem::remove_all(folder_);
  }
  TestingRedis(const TestingRedis&) = delete;
  TestingRedis& operator=(const TestingRedis&) = delete;

  static bool installed() { return ::access("/usr/bin/redis-server", X_OK) == 0; }

  void start() {
    process_ = ::fork();
    if (process_ == 0) {
      const int quiet = ::open("/dev/null", O_WRONLY);
      ::dup2(quiet, 1);
      ::dup2(quiet, 2);
      ::execl("/usr/bin/redis-server", "redis-server", "--port", "0", "--unixsocket", socket().c_str(), "--dir",
              folder_.c_str(), "--save", "", "--appendonly", "yes", "--appendfsync", "everysec", nullptr);
      ::_exit(127);
    }
    RedisPool pool(options());
    for (int i = 0; i < 500; ++i) {
      if (auto answer = pool.run({{"PING"}}); answer && (*answer)[0].text == "PONG") return;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  void kill() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    process_ = 0;
  }
  void stand_still(bool still) const { ::kill(process_, still ? SIGSTOP : SIGCONT); }
  [[nodiscard]] pid_t process() const { return process_; }
  [[nodiscard]] std::string folder() const { return folder_; }
  [[nodiscard]] std::string socket() const { return folder_ + "/redis.sock"; }
  [[nodiscard]] RedisOptions options() const {
    RedisOptions o;
    o.socket = socket();
    o.longest_pause = std::chrono::milliseconds(50);
    return o;
  }

 private:
  std::string folder_;
  pid_t process_ = 0;
};

}  // namespace skep::store
