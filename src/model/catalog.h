#pragma once
// The models there are: what scan() finds, kept up to date while files come and go. Lives on the event loop; reading is
// done on its blocking threads.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "model/model_info.h"
#include "model/scan.h"

namespace skep::model {

// The model that is meant by what a client wrote: the exact name; else without ":latest" and ".gguf"; else without
// regard to case; else also with ':' and '-' taken for the same ("deepseek-r1:8b" finds deepseek-r1-8b.gguf), each of
// these only where it leaves one model. Null: none. `models` as sorted by scan().
const ModelInfo* find_model(const std::vector<ModelInfo>& models, std::string_view name);

struct CatalogOptions {
  ScanOptions scan;
  Duration poll = std::chrono::seconds(1);     // between looks at the watch
  Duration rescan = std::chrono::seconds(10);  // at the latest, where not every folder can be watched
};

class Catalog {
 public:
  Catalog(EventLoop& loop, CatalogOptions options);
  ~Catalog();  // a scan that runs ends unheard
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  // Scans now, in the calling thread: for the start, so that the first request finds its model. Before any refresh().
  void load();
  // Scans in the background, then calls `done` on the loop. While one scan runs, further calls wait for the next.
  void refresh(std::function<void()> done = {});
  // From now on, refreshes when files change.
  void watch();

  // Valid until the next change. Sorted by name, broken ones among them.
  [[nodiscard]] const std::vector<ModelInfo>& models() const;
  [[nodiscard]] const std::vector<std::string>& problems() const;
  // not_found with the nearest name as hint, or `unsupported` with the reason for a broken one.
  [[nodiscard]] Result<ModelInfo> find(std::string_view name) const;

  // Called on the loop after a scan that changed anything.
  void on_change(std::function<void()> heard);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace skep::model
