#pragma once
// What an agent that just woke will need soon: its parked contexts (doc/parked.md) are read from the disk into the
// system's page cache while its task is planned, queued, or waits for its model to load, so that the engine that takes
// them back finds them in memory.
//
// Which files these are stands in the agent's state; a note that is no longer true (the agent was forgotten meanwhile,
// its context has changed) costs nothing. What is read ahead is bounded by `room`, so that it pushes out nothing that
// is in use; files beyond that, or beyond those that may wait, are left out: the engine reads for itself, as it always
// could.
//
// Lives on the event loop; files are read in its blocking pool, one pass at a time.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/gate.h"
#include "base/units.h"
#include "daemon/parked_folder.h"

namespace skep::daemon {

class ParkedReadAhead {
 public:
  struct Parts {
    EventLoop& loop;
    std::string folder;  // state_folder/parked
    // In the blocking pool. How much a pass may read.
    std::function<Bytes()> room;
    // In the blocking pool. Begins to read the file, and does not wait for it. False: it is not there.
    std::function<bool(const std::string& path)> read;
  };
  static constexpr size_t kMostWaiting = 1024;  // files

  // The loop outlives this.
  explicit ParkedReadAhead(Parts parts) : parts_(std::move(parts)) {}
  ~ParkedReadAhead();  // waits for a pass that is under way
  ParkedReadAhead(const ParkedReadAhead&) = delete;
  ParkedReadAhead& operator=(const ParkedReadAhead&) = delete;

  // An agent of which this is parked (agent::AgentState::parked()).
  void woke(const ParkedFiles& parked);

  struct Counters {
    int64_t files = 0;     // that were begun to be read
    Bytes bytes;           // of them
    int64_t left_out = 0;  // files for which there was no room, or beyond kMostWaiting
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  struct File {
    std::string path;
    Bytes bytes;
  };
  void pass();

  Parts parts_;
  Counters counters_;
  std::vector<File> waiting_;
  bool reading_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
};

// As much as may be read ahead on this machine: an eighth of the memory that can be had, or of what its cgroup has
// left, and at most 256 MiB. What is read so is the first that the system drops again, before what was used twice.
Bytes room_to_read_ahead();

}  // namespace skep::daemon
