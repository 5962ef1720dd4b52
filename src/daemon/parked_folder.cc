#include "daemon/parked_folder.h"

#include <algorithm>
#include <filesystem>

namespace skep::daemon {

namespace fs = std::filesystem;

namespace {
constexpr auto kKept = std::chrono::hours(24 * 7);
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

}  // namespace skep::daemon
