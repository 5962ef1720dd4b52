#include "model/catalog.h"

#include <algorithm>
#include <cassert>
#include <cctype>
#include <filesystem>
#include <set>
#include <utility>

#include "base/nearest.h"
#include "model/folder_watch.h"

namespace skep::model {
namespace {

std::string_view without_suffixes(std::string_view name) {
  for (std::string_view suffix : {":latest", ".gguf"}) {
    if (name.size() > suffix.size() && name.ends_with(suffix)) name.remove_suffix(suffix.size());
  }
  return name;
}

std::string lower(std::string_view name) {
  std::string out(without_suffixes(name));
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

std::string folded(std::string_view name) {
  std::string out = lower(name);
  std::replace(out.begin(), out.end(), ':', '-');
  return out;
}

template <typename Same>
const ModelInfo* only(const std::vector<ModelInfo>& models, const Same& same) {
  const ModelInfo* found = nullptr;
  for (const ModelInfo& model : models) {
    if (!same(model.name)) continue;
    if (found != nullptr) return nullptr;
    found = &model;
  }
  return found;
}

// What on_change() listeners care for.
bool same(const ModelInfo& a, const ModelInfo& b) {
  return a.name == b.name && a.path == b.path && a.hash == b.hash && a.broken == b.broken &&
         a.file_size == b.file_size && a.modified == b.modified;
}

}  // namespace

const ModelInfo* find_model(const std::vector<ModelInfo>& models, std::string_view name) {
  const auto exact = std::lower_bound(models.begin(), models.end(), name,
                                      [](const ModelInfo& m, std::string_view n) { return m.name < n; });
  if (exact != models.end() && exact->name == name) return &*exact;
  const auto by = [&](auto form) {
    const auto wanted = form(name);
    return only(models, [&](const std::string& other) { return form(other) == wanted; });
  };
  if (const ModelInfo* found = by(without_suffixes)) return found;
  if (const ModelInfo* found = by(lower)) return found;
  return by(folded);
}

struct Catalog::Impl : std::enable_shared_from_this<Impl> {
  Impl(EventLoop& l, CatalogOptions o) : loop(l), options(std::move(o)) {}

  void adopt(Scan scan) {
    std::set<std::string, std::less<>> names;
    for (const auto& [name, path] : options.scan.named) names.insert(std::filesystem::path(path).filename().string());
    watch.watch(scan.folders, std::move(names));
    // What changed in a new folder after it was scanned and before it was watched went unheard: once more.
    unsure = scan.folders != folders;
    folders = std::move(scan.folders);
    last_scan = loop.now();
    problems = std::move(scan.problems);
    const bool changed = !std::equal(models.begin(), models.end(), scan.models.begin(), scan.models.end(), same);
    models = std::move(scan.models);
    if (changed && heard) heard();
  }

  void refresh(std::function<void()> done) {
    if (done) waiting.push_back(std::move(done));
    if (scanning) {
      again = true;
      return;
    }
    scanning = true;
    auto called = std::exchange(waiting, {});
    auto result = std::make_shared<Scan>();
    auto self = shared_from_this();
    loop.blocking([self, result] { *result = scan(self->options.scan, self->cache); },
                  [self, result, called = std::move(called)] {
                    self->scanning = false;
                    if (self->closed) return;
                    self->adopt(std::move(*result));
                    for (const auto& call : called) call();
                    if (std::exchange(self->again, false) && !self->closed) self->refresh({});
                  });
  }

  void poll() {
    timer = loop.after(options.poll, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self || self->closed) return;
      const bool overdue = !self->watch.complete() && self->loop.now() - self->last_scan >= self->options.rescan;
      if (self->watch.changed() || self->unsure || overdue) self->refresh({});
      self->poll();
    });
  }

  EventLoop& loop;
  CatalogOptions options;
  ScanCache cache;  // used by the scan that runs, and only by it
  FolderWatch watch;
  std::vector<ModelInfo> models;
  std::vector<std::string> problems;
  std::vector<std::string> folders;  // watched
  bool unsure = false;
  std::function<void()> heard;
  std::vector<std::function<void()>> waiting;  // for the next scan
  bool scanning = false;
  bool again = false;
  bool closed = false;
  TimePoint last_scan{};
  TimerId timer = TimerId::none;
};

Catalog::Catalog(EventLoop& loop, CatalogOptions options) : impl_(std::make_shared<Impl>(loop, std::move(options))) {}

Catalog::~Catalog() {
  impl_->closed = true;
  impl_->loop.cancel(impl_->timer);
}

void Catalog::load() {
  assert(!impl_->scanning);
  impl_->adopt(scan(impl_->options.scan, impl_->cache));
}

void Catalog::refresh(std::function<void()> done) { impl_->refresh(std::move(done)); }
void Catalog::watch() {
  if (impl_->timer == TimerId::none) impl_->poll();
}
void Catalog::on_change(std::function<void()> heard) { impl_->heard = std::move(heard); }
const std::vector<ModelInfo>& Catalog::models() const { return impl_->models; }
const std::vector<std::string>& Catalog::problems() const { return impl_->problems; }

Result<ModelInfo> Catalog::find(std::string_view name) const {
  const ModelInfo* found = find_model(impl_->models, name);
  if (found == nullptr) {
    std::vector<std::string> names;
    for (const ModelInfo& model : impl_->models) names.push_back(model.name);
    return fail(ErrorCode::not_found, fmt::format("there is no model '{}'", presentable(name, 128)),
                did_you_mean(name, names));
  }
  if (!found->broken.empty()) {
    return fail(ErrorCode::unsupported, fmt::format("the model {} can't be used: {}", found->name, found->broken));
  }
  return *found;
}

}  // namespace skep::model
