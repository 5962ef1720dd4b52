#pragma once
// A folder of its own for a test, gone with it.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace skep::store {

class TestingFolder {
 public:
  TestingFolder() {
    std::string name = (std::filesystem::path(::testing::TempDir()) / "skep-store-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TestingFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestingFolder(const TestingFolder&) = delete;
  TestingFolder& operator=(const TestingFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace skep::store
