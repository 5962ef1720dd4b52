#pragma once
// All records once more, in a fresh file: pages that were freed, and dictionaries, which are made of samples, hold what
// was erased long ago. For store_flush.cc and store_purge.cc.

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/dictionaries.h"
#include "store/lmdb_environment.h"
#include "store/trainer.h"

namespace skep::store {

// Writes what `from` holds, compressed with `old`, to a file of the name `to`, compressed with what `trainer` learns on
// the way; `fresh` has those dictionaries afterwards. `between`: now and then. A broken record goes along as it is.
Status rewrite(LmdbEnvironment& from, const Dictionaries& old, const std::string& to, Dictionaries& fresh,
               Trainer& trainer, const std::function<Status()>& between);

// The records of one dictionary, for a commit that uses it.
using PutRecord = std::function<Status(std::string_view key, std::string_view record)>;
Status put_dictionary(const PutRecord& put, const Trainer::Trained& one);

}  // namespace skep::store
