#include "store/salvage.h"

#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <filesystem>

#include "store/encoding.h"
#include "store/journal.h"
#include "store/record.h"
#include "store/record_batch.h"
#include "store/store_layout.h"

namespace skep::store {
namespace {

namespace fs = std::filesystem;

constexpr Bytes kBatch = 8_MiB;  // of one transaction
constexpr int kMostKept = 9;     // damaged files; then the last one's name is used again

Result<TreeReport> copy_readable(const std::string& from, const std::string& to) {
  std::error_code error;
  const Bytes size(static_cast<int64_t>(fs::file_size(from, error)));
  SKEP_TRY(auto fresh, LmdbEnvironment::open(to, size + 1_MiB, size + size + 64_MiB));
  RecordBatch copy(*fresh, kBatch);
  Dictionaries none;
  std::vector<KeyRange> before;  // of an earlier salvage
  SKEP_TRY(TreeReport report, read_tree(from, [&](std::string_view key, std::string_view record) -> Status {
             if (key.empty() || key.size() > LmdbEnvironment::kLongestKey) return {};
             if (key != kLostKey) return copy.add(key, record);
             const auto known = decode_record(key, record, none);
             before = known ? decode_ranges(*known) : std::vector<KeyRange>{KeyRange{}};
             return {};
           }));
  report.lost.insert(report.lost.end(), before.begin(), before.end());
  if (!report.lost.empty()) {
    SKEP_CHECK(copy.add(kLostKey, encode_record("!", kLostKey, encode_ranges(report.lost), none)));
  }
  SKEP_CHECK(copy.write());
  return report;
}

// Another name for the file, so that it stays when the first is taken.
Result<std::string> keep_aside(const std::string& path) {
  for (int i = 1; i <= kMostKept; ++i) {
    const std::string name = fmt::format("{}.damaged-{}", path, i);
    if (i == kMostKept) ::unlink(name.c_str());
    if (::link(path.c_str(), name.c_str()) == 0) return name;
    if (errno != EEXIST) return fail(system_error(name, errno));
  }
  return fail(ErrorCode::io, fmt::format("{}: can't be kept aside", path));
}

}  // namespace

Result<std::optional<Salvage>> mend_tree(const std::string& folder) {
  const std::string path = folder + "/state.mdb", fresh = path + ".new";
  std::error_code ignored;
  if (!fs::exists(path, ignored) || fs::file_size(path, ignored) == 0) return std::nullopt;
  SKEP_TRY(const TreeReport found, read_tree(path, nullptr));
  if (found.damage.empty()) return std::nullopt;
  fs::remove(fresh, ignored);
  const auto copied = copy_readable(path, fresh);
  fs::remove(fresh + "-lock", ignored);
  if (!copied) {
    fs::remove(fresh, ignored);
    return fail(copied.error());
  }
  SKEP_TRY(std::string kept, keep_aside(path));
  if (::rename(fresh.c_str(), path.c_str()) != 0) return fail(system_error(path, errno));
  SKEP_CHECK(sync_folder(folder));
  fs::remove(path + "-lock", ignored);
  return Salvage{found.damage, copied->entries, std::move(kept)};
}

std::string encode_ranges(const std::vector<KeyRange>& ranges) {
  Encoder out;
  for (const KeyRange& range : ranges) {
    out.text(range.from).fixed(static_cast<uint8_t>(range.to ? 1 : 0));
    if (range.to) out.text(*range.to);
  }
  return out.take();
}

std::vector<KeyRange> decode_ranges(std::string_view bytes) {
  std::vector<KeyRange> ranges;
  for (Decoder in(bytes); in.left() > 0;) {
    KeyRange range{std::string(in.text()), std::nullopt};
    if (in.fixed<uint8_t>() != 0) range.to = std::string(in.text());
    if (in.ok()) ranges.push_back(std::move(range));
  }
  return ranges;
}

std::vector<KeyRange> without(const std::vector<KeyRange>& ranges, const std::string& prefix) {
  assert(!prefix.empty() && static_cast<uint8_t>(prefix.back()) != 0xff);
  std::string end = prefix;  // the first key that does not begin so
  end.back() = static_cast<char>(static_cast<uint8_t>(end.back()) + 1);
  std::vector<KeyRange> left;
  for (const KeyRange& range : ranges) {
    if (!range.meets(prefix)) {
      left.push_back(range);
      continue;
    }
    if (range.from < prefix) left.push_back({range.from, prefix});
    if (!range.to || *range.to > end) left.push_back({end, range.to});
  }
  return left;
}

}  // namespace skep::store
