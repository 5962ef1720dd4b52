#include "cli/shipped_files.h"

#include <filesystem>

namespace skep::cli {

namespace fs = std::filesystem;

std::string executable() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).string();
}

std::string shipped_file(const std::string& name) {
  std::error_code error;
  fs::path shared = fs::path(executable()).parent_path().parent_path() / "share/skep" / name;
  if (fs::exists(shared, error)) return shared.string();
  if (fs::exists(name, error)) return name;
  fs::path source = fs::path(SKEP_SOURCE_FOLDER) / name;
  return fs::exists(source, error) ? source.string() : shared.string();
}

}  // namespace skep::cli
