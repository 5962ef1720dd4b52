#pragma once
// What the store keeps for itself, and where. For the files of the store alone.

#include <string>
#include <string_view>

#include "base/result.h"
#include "store/dictionaries.h"
#include "store/lmdb_environment.h"

namespace skep::store {

inline constexpr std::string_view kFormatVersion = "1";
inline const std::string kVersionKey = std::string("!\0version", 9);  // space "!" is the store's own
inline const std::string kFlushedKey = std::string("!\0flushed", 9);  // the newest generation that is in LMDB
inline const std::string kLostKey = std::string("!\0lost", 6);        // ranges of keys that may be missing (salvage.h)
inline const std::string kDictionaryPrefix = std::string("!\0dict/", 7);  // + id, two bytes: kind, NUL, dictionary

// The same again, at the tree's other end: a damaged page that took a dictionary would take all that it compressed.
inline const std::string kDictionaryCopyPrefix = std::string("~\0dict/", 7);

Status load_dictionaries(const LmdbEnvironment::Snapshot& snapshot, Dictionaries& dictionaries);

// "agent/log-triage: …", with what can't be printed left out.
Error named(Error error, std::string_view full_key);

// Renames and new names of the folder are on the disk when it returns.
Status sync_folder(const std::string& folder);

}  // namespace skep::store
