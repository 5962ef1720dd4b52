#pragma once
// The file of one parked entry (doc/parked.md): what it is, before its cells. Engines write and read them; the daemon
// reads the headers, to know whose they are.

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/messages.h"

namespace skep::engine {

struct ParkedHeader {
  std::string identity;       // of model, cache type, forward pass and template
  std::string scope;          // to_text() of a Scope
  std::string owner;          // the agent whose conversation it is; empty: several agents', or nobody's
  std::vector<Token> prefix;  // all tokens up to the end of the cells'
  int32_t begin = 0;          // of the cells: they are those of [begin, prefix.size())
  uint64_t bytes = 0;         // of the cells
  uint64_t checksum = 0;      // XXH3-64 of them
};

// Everything that stands before the cells. Sets `bytes` and `checksum` from them.
std::string parked_header(ParkedHeader header, std::string_view cells);

// Leaves the stream at the cells, which are not read. Nothing: not ours, of another version, or damaged.
std::optional<ParkedHeader> read_parked_header(std::istream& file);

// By what it is: the same cells have the same name.
std::string parked_file_name(const ParkedHeader& header);

uint64_t parked_checksum(std::string_view cells);

// Has the system read the file into its page cache, and does not wait until it has; where the disk's queue is full it
// waits for that. False: the file is not there, or can't be read.
bool read_ahead(const std::filesystem::path& file);

}  // namespace skep::engine
