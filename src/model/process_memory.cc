#include "model/process_memory.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <string_view>
#include <system_error>
#include <vector>

namespace skep::model {

namespace {

constexpr size_t kMostProcesses = 100'000;  // of a tree; a machine has fewer

// The parent in <proc>/<pid>/stat: "pid (name) state parent …", where the name may hold anything, ')' too.
int parent_of(const std::filesystem::path& process) {
  std::ifstream file(process / "stat");
  std::string text;
  if (!std::getline(file, text)) return 0;
  size_t name_end = text.rfind(')');
  if (name_end == std::string::npos || name_end + 4 > text.size()) return 0;
  int parent = 0;
  std::from_chars(text.data() + name_end + 4, text.data() + text.size(), parent);
  return parent;
}

std::multimap<int, int> children_by_parent(const std::string& proc) {
  std::multimap<int, int> children;
  std::error_code error;
  std::filesystem::directory_iterator entry(proc, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    std::string name = entry->path().filename().string();
    int process = 0;
    auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), process);
    if (code != std::errc() || end != name.data() + name.size()) continue;
    children.emplace(parent_of(entry->path()), process);
  }
  return children;
}

}  // namespace

Result<Bytes> process_memory(int process_id, const std::string& proc) {
  std::string path = fmt::format("{}/{}/smaps_rollup", proc, process_id);
  std::ifstream file(path);
  if (!file) {
    std::error_code ignored;
    bool there = std::filesystem::exists(fmt::format("{}/{}", proc, process_id), ignored);
    return fail(there ? ErrorCode::io : ErrorCode::not_found,
                fmt::format("{}: {}", path, there ? "can't be read" : "no such process"));
  }
  std::string line;
  while (std::getline(file, line)) {
    constexpr std::string_view kKey = "Pss:";
    if (!line.starts_with(kKey)) continue;
    size_t digits = line.find_first_not_of(' ', kKey.size());
    int64_t kibibytes = 0;
    if (digits == std::string::npos ||
        std::from_chars(line.data() + digits, line.data() + line.size(), kibibytes).ec != std::errc())
      break;
    return Bytes(kibibytes * 1024);
  }
  // A zombie's file is empty or can't be read: it holds no memory any more.
  return fail(ErrorCode::not_found, fmt::format("{}: the process has ended", path));
}

Result<Bytes> process_tree_memory(int process_id, const std::string& proc) {
  SKEP_TRY(Bytes sum, process_memory(process_id, proc));
  std::multimap<int, int> children = children_by_parent(proc);
  std::vector<int> tree = {process_id};
  for (size_t i = 0; i < tree.size() && tree.size() < kMostProcesses; ++i) {
    auto [first, last] = children.equal_range(tree[i]);
    for (auto child = first; child != last; ++child) {
      if (std::ranges::find(tree, child->second) != tree.end()) continue;  // ids were reused while we looked
      tree.push_back(child->second);
      if (auto memory = process_memory(child->second, proc)) sum += *memory;
    }
  }
  return sum;
}

}  // namespace skep::model
