#pragma once
// Records on their way into another file, many in one transaction: for salvage.cc and rewrite.cc.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "store/lmdb_environment.h"

namespace skep::store {

class RecordBatch {
 public:
  // `to` outlives this. `most`: of one transaction.
  RecordBatch(LmdbEnvironment& to, Bytes most) : to_(to), most_(most) {}

  // Keeps the record; writes all that are kept once there is enough of them.
  Status add(std::string_view key, std::string_view record);
  // What add() keeps is on the disk when it returns. After an error it is still kept.
  Status write();

 private:
  LmdbEnvironment& to_;
  Bytes most_, size_;
  std::vector<std::pair<std::string, std::string>> records_;
};

}  // namespace skep::store
