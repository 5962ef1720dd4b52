#include "daemon/parked_contexts.h"

#include <utility>

#include "daemon/parked_folder.h"

namespace skep::daemon {
namespace {

constexpr Duration kCollect = std::chrono::milliseconds(500);  // agents that fall asleep together are read together

}  // namespace

ParkedContexts::~ParkedContexts() {
  *alive_ = false;
  gate_->close();
  parts_.loop.cancel(timer_);
}

void ParkedContexts::slept(const std::string& agent) {
  due_.insert(agent);
  if (reading_ || timer_ != TimerId::none) return;
  timer_ = parts_.loop.after(kCollect, [this] {
    timer_ = TimerId::none;
    std::set<std::string> asleep;
    for (const std::string& one : std::exchange(due_, {})) {
      if (parts_.asleep(one)) asleep.insert(one);  // the others fall asleep again
    }
    if (!asleep.empty()) read(std::move(asleep), false);
  });
}

void ParkedContexts::note_all() { read({}, true); }

void ParkedContexts::read(std::set<std::string> agents, bool all) {
  reading_ = true;
  parts_.loop.blocking(
      [gate = gate_, folder = parts_.folder, store = &parts_.agents, agents = std::move(agents), all] {
        gate->pass([&] {
          auto parked = parked_by_agent(folder);
          for (const std::string& agent : agents) parked.try_emplace(agent);  // nothing of it, maybe any more
          for (auto& [agent, files] : parked) {
            // A note that can't be written now (a full disk) is made when the agent sleeps again.
            if (all || agents.contains(agent)) static_cast<void>(store->note_parked(agent, std::move(files)));
          }
        });
      },
      [this, alive = alive_] {
        if (!*alive) return;
        reading_ = false;
        if (!due_.empty()) slept(*due_.begin());
      });
}

}  // namespace skep::daemon
