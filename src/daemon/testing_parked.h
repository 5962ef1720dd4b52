#pragma once
// For tests: parked files as an engine would leave them.

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "engine/parked_file.h"

namespace skep::daemon {

// Of `tokens`, from `begin` on. Gives the file's name.
inline std::string park(const std::string& folder, const std::string& model, const std::string& owner,
                        std::vector<engine::Token> tokens, int begin = 0, const std::string& cells = "cells",
                        const std::string& scope = "") {
  engine::ParkedHeader header;
  header.identity = "identity";
  header.scope = scope;
  header.owner = owner;
  header.prefix = std::move(tokens);
  header.begin = begin;
  const std::string name = engine::parked_file_name(header);
  std::filesystem::create_directories(std::filesystem::path(folder) / model);
  std::ofstream file(std::filesystem::path(folder) / model / name, std::ios::binary);
  file << engine::parked_header(header, cells) << cells;
  return name;
}

// 0, 1, … end-1.
inline std::vector<engine::Token> count_to(int end) {
  std::vector<engine::Token> tokens;
  for (int i = 0; i < end; ++i) tokens.push_back(i);
  return tokens;
}

}  // namespace skep::daemon
