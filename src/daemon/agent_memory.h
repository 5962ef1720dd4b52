#pragma once
// The daemon's memory, put together from its configuration: where facts and values are kept, and who makes vectors.

#include <memory>

#include "base/asio_event_loop.h"
#include "daemon/config.h"
#include "memory/memory_service.h"

namespace skep::daemon {

class AgentMemory {
 public:
  // Opens what the config names; nullptr where long_term.store is `off`. `values`: short-term values in the state's
  // store, used unless the config names a server. `source` and `values` outlive this. An error says what is missing: a
  // server, a free folder.
  static Result<std::unique_ptr<AgentMemory>> open(AsioEventLoop& loop, const Config& config, store::KeyValue& values,
                                                   memory::EmbedderSource& source);
  ~AgentMemory();

  [[nodiscard]] memory::MemoryService& service();
  [[nodiscard]] memory::Embedder& embedder();

 private:
  struct Impl;
  explicit AgentMemory(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::daemon
