#pragma once
// Keeps in each agent's state which parked files hold its context (agent::ParkedCells). Engines park behind everybody's
// back, so the folder is the truth: it is read when agents have fallen asleep, many at once, and at the start for all;
// a note that has not changed is not written.
//
// Lives on the event loop; the folder and the store are read in its blocking pool, one reading at a time.

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "agent/agent_store.h"
#include "base/event_loop.h"
#include "base/gate.h"

namespace skep::daemon {

class ParkedContexts {
 public:
  struct Parts {
    EventLoop& loop;
    std::string folder;  // state_folder/parked
    agent::AgentStore& agents;
    std::function<bool(const std::string& agent)> asleep;
  };
  // The parts outlive this.
  explicit ParkedContexts(Parts parts) : parts_(std::move(parts)) {}
  ~ParkedContexts();  // waits for a reading that is under way
  ParkedContexts(const ParkedContexts&) = delete;
  ParkedContexts& operator=(const ParkedContexts&) = delete;

  // The agent fell asleep: what is parked of it by now is noted soon. An engine parks what is evaluated in its idle
  // moments, so that by then it has.
  void slept(const std::string& agent);
  // Every agent of which something is parked; before any is awake.
  void note_all();

 private:
  void read(std::set<std::string> agents, bool all);

  Parts parts_;
  std::set<std::string> due_;
  bool reading_ = false;
  TimerId timer_ = TimerId::none;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
};

}  // namespace skep::daemon
