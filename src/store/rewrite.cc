#include "store/rewrite.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "store/encoding.h"
#include "store/overlay.h"
#include "store/record.h"
#include "store/record_batch.h"
#include "store/store_layout.h"

namespace skep::store {
namespace {

constexpr size_t kBatch = size_t{4} << 20;  // bytes that are read for one transaction, about 50 ms

bool is_dictionary(std::string_view key) {
  return key.starts_with(kDictionaryPrefix) || key.starts_with(kDictionaryCopyPrefix);
}

struct Batch {
  Changes values;
  std::vector<std::pair<std::string, std::string>> as_they_are;  // records that can't be read
  size_t bytes = 0;
  std::string last;
};

Result<Batch> read_batch(const LmdbEnvironment::Snapshot& snapshot, const std::string& after, const Dictionaries& old) {
  Batch batch;
  const Status walked = snapshot.walk(after, [&](std::string_view key, std::string_view record) {
    if (key == after) return true;
    if (batch.bytes >= kBatch) return false;
    batch.last = key;
    batch.bytes += key.size() + record.size();
    if (is_dictionary(key)) return true;
    if (auto value = decode_record(key, record, old)) {
      batch.bytes += value->size();
      batch.values.emplace(key, std::move(*value));
    } else {
      batch.as_they_are.emplace_back(key, record);
    }
    return true;
  });
  if (!walked) return fail(walked.error());
  return batch;
}

}  // namespace

Status put_dictionary(const PutRecord& put, const Trainer::Trained& one) {
  Dictionaries none;
  for (const std::string& prefix : {kDictionaryPrefix, kDictionaryCopyPrefix}) {
    const std::string key = prefix + Encoder().fixed(one.id).take();
    SKEP_CHECK(put(key, encode_record("!", key, one.kind + '\0' + one.bytes, none)));
  }
  return {};
}

Status rewrite(LmdbEnvironment& from, const Dictionaries& old, const std::string& to, Dictionaries& fresh,
               Trainer& trainer, const std::function<Status()>& between) {
  const LmdbEnvironment::Usage size = from.usage();
  SKEP_TRY(auto target, LmdbEnvironment::open(to, size.used + 1_MiB, size.used + size.used + 64_MiB));
  SKEP_TRY(auto snapshot, from.snapshot());
  RecordBatch out(*target, Bytes(2 * kBatch));
  const auto put = [&](std::string_view key, std::string_view record) { return out.add(key, record); };
  std::string after;
  for (;;) {
    SKEP_TRY(const Batch batch, read_batch(snapshot, after, old));
    if (batch.bytes == 0) return {};
    after = batch.last;
    const auto trained = trainer.learn(batch.values, fresh);
    for (const Trainer::Trained& one : trained) fresh.add(one.id, one.kind, one.bytes);
    for (const Trainer::Trained& one : trained) SKEP_CHECK(put_dictionary(put, one));
    for (const auto& [key, value] : batch.values) {
      const std::string_view space = std::string_view(key).substr(0, key.find('\0'));
      SKEP_CHECK(put(key, encode_record(space, key, *value, fresh)));
    }
    for (const auto& [key, record] : batch.as_they_are) SKEP_CHECK(put(key, record));
    SKEP_CHECK(out.write());
    SKEP_CHECK(between());
  }
}

}  // namespace skep::store
