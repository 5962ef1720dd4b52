#include "model/scan.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "model/fingerprint.h"

namespace skep::model {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".gguf";

struct Found {
  std::string path;
  std::string folder;  // of the options; empty: named there
  std::string name;    // given in the options
};

// "name-00002-of-00003" → {"name", 2, 3}.
struct Split {
  std::string stem;
  int part = 1;
  int parts = 1;
};
std::optional<Split> split_of(std::string_view stem) {
  constexpr std::string_view kPattern = "-00000-of-00000";
  if (stem.size() <= kPattern.size()) return std::nullopt;
  const std::string_view tail = stem.substr(stem.size() - kPattern.size());
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-") return std::nullopt;
  const auto number = [](std::string_view digits) {
    int value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && end == digits.data() + digits.size() ? value : 0;
  };
  const Split split{std::string(stem.substr(0, stem.size() - kPattern.size())), number(tail.substr(1, 5)),
                    number(tail.substr(10))};
  if (split.part < 1 || split.parts < 1 || split.part > split.parts) return std::nullopt;
  return split;
}

std::string stem_of(const std::string& path) {
  std::string name = fs::path(path).filename().string();
  if (name.ends_with(kExtension)) name.resize(name.size() - kExtension.size());
  return name;
}

class Walker {
 public:
  Walker(const ScanOptions& options, Scan& scan) : options_(options), scan_(scan) {}

  std::vector<Found> walk() {
    for (const auto& [name, path] : options_.named) {
      found_.push_back({path, {}, name});
      const std::string folder = fs::path(path).parent_path().string();
      scan_.folders.push_back(folder.empty() ? "." : folder);
    }
    for (const std::string& folder : options_.folders) {
      root_ = folder;
      enter(folder, 0);
    }
    return std::move(found_);
  }

 private:
  void enter(const fs::path& folder, int depth) {
    struct stat info {};
    const bool there = ::stat(folder.c_str(), &info) == 0;
    if (!there || !S_ISDIR(info.st_mode)) {
      const int number = there ? ENOTDIR : errno;
      if (depth == 0 && number != ENOENT) problem(folder, std::strerror(number));
      if (depth == 0) scan_.folders.push_back(folder.string());  // it may come
      return;
    }
    // Links may lead back: every folder once.
    if (!visited_.insert({info.st_dev, info.st_ino}).second) return;
    scan_.folders.push_back(folder.string());
    std::error_code error;
    fs::directory_iterator at(folder, error);
    if (error) return problem(folder, error.message());
    std::vector<fs::path> names;
    for (; at != fs::directory_iterator() && !error; at.increment(error)) {
      if (++entries_ > options_.entries) {
        problem(folder, fmt::format("not looked through: more than {} entries", options_.entries));
        break;
      }
      if (!at->path().filename().string().starts_with('.')) names.push_back(at->path());
    }
    std::sort(names.begin(), names.end());
    for (const fs::path& name : names) {
      std::error_code ignored;
      if (fs::is_directory(name, ignored)) {
        if (depth < options_.depth) enter(name, depth + 1);
      } else if (name.extension() == kExtension) {
        if (found_.size() >= options_.files) return problem(folder, fmt::format("more than {} models", options_.files));
        found_.push_back({name.string(), root_, {}});
      }
    }
  }

  void problem(const fs::path& where, const std::string& what) {
    constexpr size_t kMost = 100;
    if (scan_.problems.size() < kMost) scan_.problems.push_back(where.string() + ": " + what);
  }

  const ScanOptions& options_;
  Scan& scan_;
  std::string root_;
  std::vector<Found> found_;
  std::set<std::pair<dev_t, ino_t>> visited_;
  size_t entries_ = 0;
};

ScanCache::Entry broken_entry(const Error& error, const std::string& path) {
  ScanCache::Entry entry;
  std::string reason = error.message;
  if (reason.starts_with(path + ": ")) reason.erase(0, path.size() + 2);
  entry.summary.info.broken = presentable(reason, 512);
  return entry;
}

ScanCache::Entry read_entry(const std::string& path) {
  const auto source = FileSource::open(path);
  if (!source) return broken_entry(source.error(), path);
  const auto file = parse_gguf(**source, path);
  if (!file) return broken_entry(file.error(), path);
  auto hash = fingerprint(**source, *file);
  if (!hash) return broken_entry(hash.error(), path);
  ScanCache::Entry entry;
  entry.summary = describe(*file);
  entry.hash = std::move(*hash);
  return entry;
}

const ScanCache::Entry& look_at(const std::string& path, ScanCache& cache) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    ScanCache::Entry gone = broken_entry({ErrorCode::io, std::strerror(errno), {}}, path);
    gone.seen = true;
    return cache.entries[path] = std::move(gone);
  }
  const ScanCache::Key key{info.st_size, info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec,
                           info.st_ino};
  auto& entry = cache.entries[path];
  if (!(entry.key == key)) {
    entry = read_entry(path);
    entry.key = key;
    entry.summary.info.file_size = Bytes(info.st_size);
    entry.summary.info.modified = WallTime(std::chrono::nanoseconds(key.modified));
    ++cache.files_read;
  }
  entry.seen = true;
  return entry;
}

// One model of one file or several parts, parts in order; null where one is missing.
struct Group {
  Found found;  // of the first part there is
  std::string stem;
  std::vector<const ScanCache::Entry*> parts;
};

ModelInfo join(const Group& group) {
  std::vector<std::string> hashes;
  ModelInfo info;
  std::string broken;
  int number = 0;
  const auto of_part = [&](const std::string& reason) {
    return group.parts.size() == 1 ? reason : fmt::format("part {} of {} {}", number, group.parts.size(), reason);
  };
  for (const ScanCache::Entry* part : group.parts) {
    ++number;
    if (part == nullptr) {
      if (broken.empty()) broken = of_part("is missing");
      continue;
    }
    const FileSummary& summary = part->summary;
    if (number == 1) info = summary.info;
    if (broken.empty() && !summary.info.broken.empty()) broken = of_part(summary.info.broken);
    const bool sound = summary.info.broken.empty();
    if (broken.empty() && sound &&
        (summary.split_count != static_cast<int>(group.parts.size()) || summary.split_index != number - 1)) {
      broken = of_part(fmt::format("says that it is part {} of {}", summary.split_index + 1, summary.split_count));
    }
    if (number > 1) {
      info.parameters += summary.info.parameters;
      info.file_size += summary.info.file_size;
      info.modified = std::max(info.modified, summary.info.modified);
    }
    hashes.push_back(part->hash);
  }
  info.path = group.found.path;
  info.broken = std::move(broken);
  if (info.broken.empty()) info.hash = combine_fingerprints(hashes);
  return info;
}

// Files by model. The parts of a split model come together whatever their order.
std::vector<Group> group(const std::vector<Found>& files, ScanCache& cache) {
  std::vector<Group> groups;
  std::map<std::pair<std::string, int>, size_t> by_stem;  // full path without split suffix, and the number of parts
  for (const Found& file : files) {
    const auto split = split_of(stem_of(file.path));
    if (!split) {
      groups.push_back({file, stem_of(file.path), {&look_at(file.path, cache)}});
      continue;
    }
    const std::string base = (fs::path(file.path).parent_path() / split->stem).string();
    if (!file.name.empty()) {  // named by one part: the others stand beside it
      Group named{file, split->stem, {}};
      for (int part = 1; part <= split->parts; ++part) {
        const std::string path = fmt::format("{}-{:05}-of-{:05}{}", base, part, split->parts, kExtension);
        std::error_code ignored;
        named.parts.push_back(fs::exists(path, ignored) ? &look_at(path, cache) : nullptr);
      }
      named.found.path = fmt::format("{}-{:05}-of-{:05}{}", base, 1, split->parts, kExtension);
      groups.push_back(std::move(named));
      continue;
    }
    const auto [at, added] = by_stem.try_emplace({base, split->parts}, groups.size());
    if (added)
      groups.push_back({file, split->stem, std::vector<const ScanCache::Entry*>(static_cast<size_t>(split->parts))});
    groups[at->second].parts[static_cast<size_t>(split->part - 1)] = &look_at(file.path, cache);
  }
  return groups;
}

std::string path_below(const Group& group) {
  std::string below = fs::path(group.found.path).parent_path().lexically_relative(group.found.folder).string();
  return below.empty() || below == "." ? group.stem : below + "/" + group.stem;
}

}  // namespace

Scan scan(const ScanOptions& options, ScanCache& cache) {
  Scan result;
  for (auto& [path, entry] : cache.entries) entry.seen = false;
  const std::vector<Found> files = Walker(options, result).walk();
  std::map<std::string, ModelInfo> models;
  for (const Group& group : group(files, cache)) {
    ModelInfo info = join(group);
    for (const std::string& name : {group.found.name, group.stem, path_below(group), group.found.path}) {
      if (name.empty() || models.contains(presentable(name))) continue;
      info.name = presentable(name);
      models.emplace(info.name, std::move(info));
      break;
    }
  }
  std::erase_if(cache.entries, [](const auto& entry) { return !entry.second.seen; });
  for (auto& [name, info] : models) result.models.push_back(std::move(info));
  return result;
}

}  // namespace skep::model
