#pragma once
// For tests and the bench: a PostgreSQL server of their own, on a Unix socket in its own folder, that can be killed and
// started again. Its programs come from .deps/pgvector (scripts/setup --test) or from the system, which has to have
// pgvector where the tests need it. PostgreSQL refuses to run as root, so root runs it as nobody.

#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"

namespace skep::store {

class TestingPostgres {
 public:
  enum class Vectors { needed, not_needed };

  // The folder of initdb and postgres; nullopt: no such server on this machine.
  static std::optional<std::string> programs(const std::string& deps, Vectors vectors = Vectors::needed) {
    namespace fs = std::filesystem;
    std::error_code error;
    for (const std::string& root : {deps + "/pgvector", std::string()}) {
      for (int version = 20; version >= 13; --version) {
        const std::string bin = fmt::format("{}/usr/lib/postgresql/{}/bin", root, version);
        const std::string control = fmt::format("{}/usr/share/postgresql/{}/extension/vector.control", root, version);
        const bool enough = vectors == Vectors::not_needed || fs::exists(control, error);
        if (enough && fs::exists(bin + "/postgres", error)) return bin;
      }
    }
    return std::nullopt;
  }

  static Result<std::unique_ptr<TestingPostgres>> start(const std::string& deps, Vectors vectors = Vectors::needed) {
    const auto bin = programs(deps, vectors);
    if (!bin) {
      return fail(ErrorCode::unavailable, "no PostgreSQL (with pgvector) on this machine", "scripts/setup --test");
    }
    std::unique_ptr<TestingPostgres> made(new TestingPostgres(*bin));
    namespace fs = std::filesystem;
    fs::remove_all(made->folder_);
    fs::create_directories(made->folder_);
    if (getuid() == 0) {
      const passwd* nobody = getpwnam("nobody");
      if (nobody == nullptr || chown(made->folder_.c_str(), nobody->pw_uid, nobody->pw_gid) != 0) {
        return fail(ErrorCode::io, "PostgreSQL does not run as root, and there is no user nobody");
      }
    }
    const pid_t init = made->execute(
        "initdb", {"-D", made->data(), "-U", "skep", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C"});
    int status = 1;
    waitpid(init, &status, 0);
    if (status != 0) return fail(ErrorCode::io, "initdb failed: see " + made->folder_ + "/log");
    SKEP_CHECK(made->run());
    return made;
  }
  ~TestingPostgres() {
    kill();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  // The children of a postmaster that was killed take a while to notice, and a new one ends at once before that: it is
  // started until it stays.
  Status run() {
    for (int i = 0; i < 1500; ++i) {
      if (process_ > 0 && waitpid(process_, nullptr, WNOHANG) == process_) process_ = 0;
      if (process_ == 0) {
        process_ =
            execute("postgres", {"-D", data(), "-c", "listen_addresses=", "-c", "unix_socket_directories=" + folder_,
                                 "-c", "shared_buffers=256MB", "-c", "maintenance_work_mem=256MB"});
      }
      if (PQping(connection().c_str()) == PQPING_OK) return {};
      std::this_thread::sleep_for(std::chrono::milliseconds(40));
    }
    return fail(ErrorCode::unavailable, "PostgreSQL did not start: see " + folder_ + "/log");
  }
  // Without a chance to tidy up.
  void kill() {
    if (process_ <= 0) return;
    go_on();
    ::kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    process_ = 0;
  }
  // Stops the server and what it started, as if the machine behind the network had gone silent.
  void hang() const { signal_all(SIGSTOP); }
  void go_on() const { signal_all(SIGCONT); }
  [[nodiscard]] pid_t process() const { return process_; }  // whose children serve the connections
  [[nodiscard]] std::string folder() const { return folder_; }
  [[nodiscard]] std::string connection(const std::string& database = "postgres") const {
    return "host=" + folder_ + " user=skep dbname=" + database;
  }

 private:
  explicit TestingPostgres(const std::string& bin)
      : bin_(std::filesystem::absolute(bin)),
        folder_((std::filesystem::temp_directory_path() / fmt::format("skep-postgres-{}", getpid())).string()) {}

  [[nodiscard]] std::string data() const { return folder_ + "/data"; }

  void signal_all(int signal) const {
    ::kill(process_, signal);
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
      const auto child = static_cast<pid_t>(std::atoi(entry.path().filename().c_str()));
      std::ifstream stat(entry.path() / "stat");
      std::string number, name, state;
      pid_t parent = 0;
      if (child > 0 && stat >> number >> name >> state >> parent && parent == process_) ::kill(child, signal);
    }
  }

  pid_t execute(const std::string& program, const std::vector<std::string>& arguments) const {
    const std::string path = bin_ + "/" + program;
    std::vector<const char*> argv = {path.c_str()};
    for (const std::string& a : arguments) argv.push_back(a.c_str());
    argv.push_back(nullptr);
    const pid_t child = fork();
    if (child != 0) return child;
    if (getuid() == 0) {
      const passwd* nobody = getpwnam("nobody");
      if (setgroups(0, nullptr) != 0 || setgid(nobody->pw_gid) != 0 || setuid(nobody->pw_uid) != 0) _exit(126);
    }
    const int log = open((folder_ + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(log, 1);
    dup2(log, 2);
    if (chdir(folder_.c_str()) != 0) _exit(126);
    setenv("LC_ALL", "C", 1);
    execv(path.c_str(), const_cast<char* const*>(argv.data()));
    _exit(127);
  }

  std::string bin_, folder_;
  pid_t process_ = 0;
};

}  // namespace skep::store
