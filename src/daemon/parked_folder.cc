#include "daemon/parked_folder.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>

#include "engine/parked_file.h"
#include "engine/scope.h"

namespace skep::daemon {

namespace fs = std::filesystem;

namespace {
constexpr auto kKept = std::chrono::hours(24 * 7);

// What the file's header says, whole or not at all.
std::optional<engine::ParkedHeader> header_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return engine::read_parked_header(file);
}

agent::ParkedCells cells_of(const engine::ParkedHeader& header, std::string model_hash) {
  const auto end = static_cast<int64_t>(header.prefix.size());
  return {std::move(model_hash), header.begin, end - header.begin, Bytes(static_cast<int64_t>(header.bytes))};
}
}  // namespace

std::string parked_folder(const Config& config, const std::string& model_hash) {
  return (fs::path(config.state_folder) / "parked" / model_hash).string();
}

void sweep_parked(const Config& config, const std::vector<std::string>& hashes) {
  std::error_code failed;
  std::vector<fs::path> old;
  for (const auto& folder : fs::directory_iterator(fs::path(config.state_folder) / "parked", failed)) {
    if (std::ranges::find(hashes, folder.path().filename().string()) != hashes.end()) continue;
    std::error_code unknown;
    const auto written = fs::last_write_time(folder.path(), unknown);
    if (!unknown && fs::file_time_type::clock::now() - written > kKept) old.push_back(folder.path());
  }
  for (const fs::path& folder : old) fs::remove_all(folder, failed);
}

std::map<std::string, ParkedFiles> parked_by_agent(const std::string& parked) {
  std::map<std::string, ParkedFiles> found;
  std::error_code failed;
  for (const auto& folder : fs::directory_iterator(parked, failed)) {
    std::error_code unknown;
    for (const auto& file : fs::directory_iterator(folder.path(), unknown)) {
      if (file.path().extension() != ".kv") continue;
      const auto header = header_of(file.path());
      if (!header || header->owner.empty()) continue;
      found[header->owner][file.path().filename()] = cells_of(*header, folder.path().filename());
    }
  }
  return found;
}

ParkedFiles still_parked(const std::string& parked, const ParkedFiles& noted) {
  ParkedFiles there;
  for (const auto& [name, cells] : noted) {
    const auto header = header_of(fs::path(parked) / cells.model_hash / name);
    if (header && cells_of(*header, cells.model_hash) == cells) there.emplace(name, cells);
  }
  return there;
}

namespace {

using Tokens = std::vector<engine::Token>;

// `sorted`: one of them begins with all of `beginning`. The first that is not less would be next to it.
bool any_begins_with(const std::vector<Tokens>& sorted, const Tokens& beginning) {
  const auto at = std::lower_bound(sorted.begin(), sorted.end(), beginning);
  return at != sorted.end() && at->size() >= beginning.size() &&
         std::equal(beginning.begin(), beginning.end(), at->begin());
}

bool is_public(const engine::ParkedHeader& header) {
  return engine::scope_from(header.scope).own.starts_with(engine::kPublicScope);
}

// Of one model: its tokens are comparable.
void forget_in(const fs::path& folder, const std::string& agent, std::error_code& failed) {
  std::vector<fs::path> gone;
  std::vector<std::pair<fs::path, Tokens>> shared;
  std::vector<Tokens> of_others;
  for (const auto& file : fs::directory_iterator(folder, failed)) {
    auto header = header_of(file.path());
    if (file.path().extension() != ".kv" || !header || header->owner == agent) {
      gone.push_back(file.path());
    } else if (!header->owner.empty()) {
      of_others.push_back(std::move(header->prefix));
    } else if (!is_public(*header)) {
      shared.emplace_back(file.path(), std::move(header->prefix));
    }
  }
  if (failed) return;
  std::sort(of_others.begin(), of_others.end());
  for (auto& [path, tokens] : shared) {
    if (!any_begins_with(of_others, tokens)) gone.push_back(std::move(path));
  }
  for (const fs::path& path : gone) {
    std::error_code here;
    fs::remove_all(path, here);
    if (here) failed = here;
  }
}

}  // namespace

Status forget_parked(const std::string& parked, const std::string& agent) {
  std::error_code failed;
  if (!fs::exists(parked, failed)) return {};
  for (const auto& folder : fs::directory_iterator(parked, failed)) {
    std::error_code here;
    if (folder.is_directory(here)) forget_in(folder.path(), agent, here);
    if (here) failed = here;
  }
  if (failed) return fail(ErrorCode::io, fmt::format("{}: parked contexts: {}", parked, failed.message()));
  return {};
}

}  // namespace skep::daemon
