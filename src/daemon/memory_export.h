#pragma once
// The second half of an agent's export: what it has in memory besides its state. Facts with tags and time, blocks, and
// short-term values with what is left of their lives; not vectors (they are made anew where it is imported) and not the
// blocks' versions (they begin anew). doc/state.md has the format.

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "memory/memory_service.h"

namespace skep::daemon {

// `done` on the loop. too_large: more than an import would take.
void export_memory(memory::MemoryService& memory, const std::string& agent,
                   std::function<void(Result<std::string>)> done);

// A file in two halves; the second is empty where it was written without one.
struct ExportHalves {
  std::string_view state, memory;
};
ExportHalves halves_of(std::string_view text);

// What an import will add, understood before anything is changed. invalid_argument.
struct ImportedMemory {
  struct Value {
    std::string key, text;
    std::vector<std::string> items;  // of a list
    bool list = false;
    std::optional<Duration> ttl;
  };
  std::vector<memory::NewFact> facts;
  std::vector<memory::Block> blocks;
  std::vector<Value> values;
};
Result<ImportedMemory> parse_memory(std::string_view text, const std::string& agent);

// In the place of all that the agent had. An error may leave a part of it.
void import_memory(memory::MemoryService& memory, const std::string& agent, ImportedMemory imported,
                   std::function<void(Status)> done);

}  // namespace skep::daemon
