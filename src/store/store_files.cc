// The files of the store while no store works on them: checks, restoring.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <map>

#include "base/folder_lock.h"
#include "store/encoding.h"
#include "store/journal.h"
#include "store/record.h"
#include "store/store.h"
#include "store/store_layout.h"
#include "store/tree_file.h"

namespace skep::store {

namespace fs = std::filesystem;

Error named(Error error, std::string_view full_key) {
  std::string text;
  for (char c : full_key) text += c == '\0' ? '/' : (c >= ' ' && c < 0x7f) ? c : '.';
  error.message = fmt::format("{}: {}", text, error.message);
  return error;
}

Status load_dictionaries(const LmdbEnvironment::Snapshot& snapshot, Dictionaries& dictionaries) {
  Dictionaries none;
  std::map<uint16_t, std::string> found;  // by id: kind, NUL, dictionary
  for (const std::string& prefix : {kDictionaryPrefix, kDictionaryCopyPrefix}) {
    SKEP_CHECK(snapshot.walk(prefix, [&](std::string_view key, std::string_view record) {
      if (!key.starts_with(prefix)) return false;
      auto plain = decode_record(key, record, none);
      const auto id = Decoder(key.substr(prefix.size())).fixed<uint16_t>();
      // The records that name one that is nowhere will say so.
      if (plain && id != 0 && plain->find('\0') != plain->npos) found.try_emplace(id, std::move(*plain));
      return true;
    }));
  }
  for (const auto& [id, text] : found) {
    const size_t mark = text.find('\0');
    dictionaries.add(id, std::string_view(text).substr(0, mark), std::string_view(text).substr(mark + 1));
  }
  return {};
}

Status sync_folder(const std::string& folder) {
  const int file = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return fail(system_error(folder, errno));
  const int number = ::fsync(file) == 0 ? 0 : errno;
  ::close(file);
  if (number != 0) return fail(system_error(folder, number));
  return {};
}

Result<CheckReport> check_file(const std::string& path) {
  std::error_code error;
  auto size = fs::file_size(path, error);
  if (error) return fail(ErrorCode::not_found, fmt::format("{}: {}", path, error.message()));
  CheckReport report;
  SKEP_TRY(const TreeReport tree, read_tree(path, nullptr));
  if (!tree.damage.empty()) {  // not for LMDB's eyes
    report.records = tree.entries;
    for (const std::string& damage : tree.damage) report.broken.push_back(fmt::format("{}: {}", path, damage));
    return report;
  }
  SKEP_TRY(auto lmdb, LmdbEnvironment::open(path, Bytes(static_cast<int64_t>(size)), Bytes(0), true));
  SKEP_TRY(auto snapshot, lmdb->snapshot());
  Dictionaries dictionaries;
  SKEP_CHECK(load_dictionaries(snapshot, dictionaries));
  bool ours = false;
  Status walked = snapshot.walk("", [&](std::string_view key, std::string_view record) {
    ++report.records;
    ours = ours || key == kVersionKey;
    auto value = decode_record(key, record, dictionaries);
    if (!value && report.broken.size() < 100) report.broken.push_back(named(value.error(), key).text());
    return true;
  });
  if (!walked) return fail(std::move(walked).error());
  if (!ours) return fail(ErrorCode::corrupt, fmt::format("{}: this is no state store", path));
  return report;
}

Status copy_whole(const std::string& from, const std::string& to) {
  const std::string part = to + ".part";
  std::error_code error;
  fs::copy_file(from, part, fs::copy_options::overwrite_existing, error);
  if (error) return fail(ErrorCode::io, fmt::format("{}: {}", part, error.message()));
  const int file = ::open(part.c_str(), O_RDONLY | O_CLOEXEC);
  int number = file < 0 || ::fsync(file) != 0 ? errno : 0;
  if (file >= 0) ::close(file);
  if (number == 0 && ::rename(part.c_str(), to.c_str()) != 0) number = errno;
  if (number != 0) {
    ::unlink(part.c_str());
    return fail(system_error(to, number));
  }
  return sync_folder(fs::path(to).parent_path().string());
}

namespace {

// The newest generation that the folder's journals hold: they belong to the state that goes.
Result<uint64_t> newest_generation(const std::string& folder) {
  uint64_t newest = 0;
  for (const char* name : {"/journal.0", "/journal.1"}) {
    if (std::error_code error; !fs::exists(folder + name, error)) continue;
    SKEP_TRY(const Journal journal, Journal::open(folder + name));
    SKEP_TRY(const Journal::Replay replay, journal.replay([](std::string_view) { return Status(); }));
    newest = std::max(newest, replay.generation);
  }
  return newest;
}

// Makes the copy newer than any journal, so that none is replayed over it.
Status outdate_journals(const std::string& copy, uint64_t newest) {
  std::error_code error;
  const Bytes size(static_cast<int64_t>(fs::file_size(copy, error)));
  SKEP_TRY(auto lmdb, LmdbEnvironment::open(copy, size + 1_MiB, size + 64_MiB));
  Dictionaries none;
  {
    SKEP_TRY(auto snapshot, lmdb->snapshot());
    SKEP_TRY(const auto record, snapshot.get(kFlushedKey));
    if (record) {
      SKEP_TRY(const std::string number, decode_record(kFlushedKey, *record, none));
      newest = std::max(newest, from_sortable(number));
    }
  }
  return lmdb->write([&](LmdbEnvironment::Writer& writer) {
    return writer.put(kFlushedKey, encode_record("!", kFlushedKey, sortable(newest), none));
  });
}

Status put_in_place(const std::string& backup, const std::string& folder) {
  const std::string fresh = folder + "/state.mdb.new";
  std::error_code ignored;
  SKEP_TRY(const uint64_t newest, newest_generation(folder));
  SKEP_CHECK(copy_whole(backup, fresh));
  const Status ready = outdate_journals(fresh, newest);
  fs::remove(fresh + "-lock", ignored);
  if (!ready) {
    fs::remove(fresh, ignored);
    return ready;
  }
  // From this moment it is the state; the journals that stand beside it count for nothing.
  if (::rename(fresh.c_str(), (folder + "/state.mdb").c_str()) != 0) return fail(system_error(folder, errno));
  SKEP_CHECK(sync_folder(folder));
  for (const char* old : {"/journal.0", "/journal.1", "/state.mdb-lock"}) fs::remove(folder + old, ignored);
  return {};
}

}  // namespace

Status restore(const std::string& backup, const std::string& folder) {
  SKEP_TRY(CheckReport report, check_file(backup));
  if (!report.broken.empty()) {
    return fail(ErrorCode::corrupt, fmt::format("{}: {} of {} records are broken: {}", backup, report.broken.size(),
                                                report.records, report.broken.front()));
  }
  SKEP_TRY(FolderLock lock, FolderLock::take(folder));
  return put_in_place(backup, folder);
}

}  // namespace skep::store
