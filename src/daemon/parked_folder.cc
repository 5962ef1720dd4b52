#include "daemon/parked_folder.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>

#include "engine/parked_file.h"

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

}  // namespace skep::daemon
