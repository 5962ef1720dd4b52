#include "model/memory_budget.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string_view>
#include <vector>

namespace skep::model {

namespace {

// cgroup v1 writes "no limit" as a huge number rounded to pages.
constexpr int64_t kNoLimit = int64_t{1} << 60;

std::optional<int64_t> parse_number(std::string_view text) {
  size_t start = text.find_first_not_of(" \t");
  if (start == std::string_view::npos) return std::nullopt;
  int64_t value = 0;
  if (std::from_chars(text.data() + start, text.data() + text.size(), value).ec != std::errc()) return std::nullopt;
  return value;
}

// A file that holds one number; unset for "max" and where there is none.
std::optional<int64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return parse_number(line);
}

// The number behind `key` in a file of "key value" or "key: value kB" lines.
std::optional<int64_t> read_keyed(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::string_view text = line;
    if (!text.starts_with(key) || text.size() == key.size()) continue;
    char next = text[key.size()];
    if (next == ':' || next == ' ') return parse_number(text.substr(key.size() + 1));
  }
  return std::nullopt;
}

struct Group {
  std::string mount;  // where its hierarchy is mounted
  std::string path;   // below it, begins with '/'
  bool v2 = false;
};

// Lines of /proc/self/cgroup: "0::/path" (v2) and "4:memory:/path" (v1).
std::vector<Group> memory_groups(const std::string& root) {
  std::vector<Group> groups;
  std::ifstream file(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    size_t first = line.find(':');
    size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string path = line.substr(second + 1);
    if (controllers == ",,") {
      groups.push_back({root + "/sys/fs/cgroup", path, true});
      groups.push_back({root + "/sys/fs/cgroup/unified", path, true});
    } else if (controllers.find(",memory,") != std::string::npos) {
      groups.push_back({root + "/sys/fs/cgroup/memory", path, false});
    }
  }
  return groups;
}

// Walks from our group to the top of its hierarchy and keeps the one that leaves least. Inside a container the path of
// /proc/self/cgroup may not exist below the mount: then the mount itself is our group.
void tighten(MachineMemory& memory, const Group& group) {
  std::string path = group.path;
  for (int depth = 0; depth < 64; ++depth) {
    std::string folder = group.mount + (path == "/" ? "" : path);
    auto limit = read_number(folder + (group.v2 ? "/memory.max" : "/memory.limit_in_bytes"));
    if (limit && *limit < kNoLimit) {
      int64_t used = read_number(folder + (group.v2 ? "/memory.current" : "/memory.usage_in_bytes")).value_or(0);
      used -= read_keyed(folder + "/memory.stat", group.v2 ? "inactive_file" : "total_inactive_file").value_or(0);
      Bytes left = Bytes(*limit - std::max<int64_t>(0, used));
      if (!memory.group_limit || left < *memory.group_limit - memory.group_used) {
        memory.group_limit = Bytes(*limit);
        memory.group_used = Bytes(std::max<int64_t>(0, used));
      }
    }
    if (path.empty() || path == "/") return;
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

}  // namespace

Result<MachineMemory> read_machine_memory(const std::string& root) {
  std::string path = root + "/proc/meminfo";
  auto total = read_keyed(path, "MemTotal");
  auto available = read_keyed(path, "MemAvailable");
  if (!total || !available) {
    return fail(ErrorCode::io, fmt::format("{}: MemTotal or MemAvailable can't be read", path),
                "set `memory.budget` in the configuration");
  }
  MachineMemory memory{.total = Bytes(*total * 1024), .available = Bytes(*available * 1024)};
  for (const Group& group : memory_groups(root)) tighten(memory, group);
  return memory;
}

bool memory_is_unified(const std::string& root) {
  // Names with a zero behind each, as "nvidia,p3767-0000" and "nvidia,tegra234".
  std::ifstream file(root + "/proc/device-tree/compatible", std::ios::binary);
  const std::string names{std::istreambuf_iterator<char>(file), {}};
  return names.find("nvidia,tegra") != std::string::npos;
}

Bytes default_budget(const MachineMemory& memory) {
  Bytes left = memory.available;
  if (memory.group_limit) left = std::min(left, *memory.group_limit - memory.group_used);
  left = std::max(left, Bytes(0));
  return left - std::min(Bytes(left.count / 10), 2_GiB);
}

}  // namespace skep::model
