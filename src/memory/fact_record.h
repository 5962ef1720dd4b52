#pragma once
// The records of a fact log and of a snapshot, as structs and as bytes. doc/memory.md has the layout.

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "memory/fact.h"
#include "memory/quantized.h"

namespace skep::memory {

// The first record of every file: whose vectors these are and what was before.
struct HeadRecord {
  uint32_t dimensions = 0;  // 0: no vector yet
  std::string embedder;     // the embedding model's identity
  FactId next = 1;          // the next fact's id
  uint64_t sequence = 0;    // changes before this file
  friend bool operator==(const HeadRecord&, const HeadRecord&) = default;
};
struct AddRecord {
  Fact fact;
  QuantizedVector vector;  // empty: none
  friend bool operator==(const AddRecord&, const AddRecord&) = default;
};
// A known fact was said again.
struct RenewRecord {
  FactId id = 0;
  WallTime time{};
  std::vector<std::string> tags;  // all it has now
  friend bool operator==(const RenewRecord&, const RenewRecord&) = default;
};
// By ids alone, so that the record itself tells nothing.
struct ForgetRecord {
  std::vector<FactId> ids;
  friend bool operator==(const ForgetRecord&, const ForgetRecord&) = default;
};
// The last one of a snapshot; without it the snapshot is not whole.
struct EndRecord {
  uint64_t facts = 0;
  friend bool operator==(const EndRecord&, const EndRecord&) = default;
};
// Another embedder from here on: the vectors before are void, those that follow have these dimensions.
struct EmbedderRecord {
  uint32_t dimensions = 0;
  std::string embedder;
  friend bool operator==(const EmbedderRecord&, const EmbedderRecord&) = default;
};

// A fact's vector came later than the fact.
struct VectorRecord {
  FactId id = 0;
  QuantizedVector vector;
  friend bool operator==(const VectorRecord&, const VectorRecord&) = default;
};

// The order is the kind's number on disk: append only.
using FactRecord =
    std::variant<HeadRecord, AddRecord, RenewRecord, ForgetRecord, EndRecord, EmbedderRecord, VectorRecord>;

// The payload; the kind is record.index().
std::string encode(const FactRecord& record);
// corrupt: not what encode() makes.
Result<FactRecord> decode(uint32_t kind, std::string_view payload);

}  // namespace skep::memory
