#include "memory/fact_log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "memory/file.h"

namespace skep::memory {
namespace {

std::vector<FactRecord> some_records() {
  std::vector<FactRecord> records;
  records.emplace_back(HeadRecord{64, "all-minilm|sha256:12", 5, 77});
  for (FactId id = 1; id <= 5; ++id) {
    Fact fact{id,         "agent-" + std::to_string(id), "text \0 of " + std::to_string(id), "",
              {"a", "b"}, WallTime(Duration(id))};
    std::vector<float> v(64, 0.0F);
    v[id] = 1;
    records.emplace_back(AddRecord{fact, id == 3 ? QuantizedVector() : quantize(v)});
  }
  records.emplace_back(RenewRecord{2, WallTime(Duration(-5)), {"c"}});
  records.emplace_back(EmbedderRecord{32, "other"});
  records.emplace_back(VectorRecord{3, quantize(std::vector<float>(32, 0.5F))});
  records.emplace_back(ForgetRecord{{1, 2, 9}});
  records.emplace_back(EndRecord{3});
  return records;
}

std::string file_of(const std::vector<FactRecord>& records) {
  std::string file = fact_file_header(FactFileKind::log);
  for (const auto& record : records) file += frame(record);
  return file;
}

struct Read {
  Result<FactScan> scan;
  std::vector<FactRecord> records;
};
Read read(std::string_view file) {
  Read r;
  r.scan = scan_facts(file, FactFileKind::log, [&](FactRecord&& record) { r.records.push_back(std::move(record)); });
  return r;
}

TEST(FactLog, RecordsComeBackAsTheyWere) {
  const auto records = some_records();
  const auto r = read(file_of(records));
  ASSERT_TRUE(r.scan);
  EXPECT_EQ(r.records, records);
  EXPECT_EQ(r.scan->torn, 0U);
  EXPECT_EQ(r.scan->damaged, 0U);
}

TEST(FactLog, ATornTailCostsTheLastRecordAlone) {
  const auto records = some_records();
  const std::string file = file_of(records);
  std::vector<size_t> ends = {kFactFileHeader};
  for (const auto& record : records) ends.push_back(ends.back() + frame(record).size());
  for (size_t cut = kFactFileHeader; cut <= file.size(); ++cut) {
    const auto r = read(std::string_view(file).substr(0, cut));
    ASSERT_TRUE(r.scan);
    const auto whole = static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), cut) - ends.begin()) - 1;
    ASSERT_EQ(r.records.size(), whole) << cut;
    EXPECT_EQ(r.scan->end, ends[whole]);
    EXPECT_EQ(r.scan->torn, cut - ends[whole]);
  }
}

TEST(FactLog, DamageInTheMiddleCostsTheRecordsItHit) {
  const auto records = some_records();
  const std::string file = file_of(records);
  for (size_t at = kFactFileHeader; at < file.size(); ++at) {
    std::string bad = file;
    bad[at] ^= 0x20;
    const auto r = read(bad);
    ASSERT_TRUE(r.scan);
    EXPECT_EQ(r.records.size(), records.size() - 1) << at;
    EXPECT_GT(r.scan->damaged + r.scan->torn, 0U);
  }
}

TEST(FactLog, OtherFilesAreRefused) {
  EXPECT_FALSE(read("").scan);
  EXPECT_FALSE(read("#!/bin/sh\necho hello\n").scan);
  EXPECT_FALSE(read(fact_file_header(FactFileKind::snapshot)).scan);
  std::string newer = fact_file_header(FactFileKind::log);
  newer[8] = 9;
  EXPECT_FALSE(read(newer).scan);
}

TEST(FactLog, AppendingGoesOnWhereTheTornTailBegan) {
  const std::string path = (std::filesystem::temp_directory_path() / fmt::format("skep-log-{}", getpid())).string();
  std::filesystem::remove(path);
  const auto records = some_records();
  {
    auto log = FactLog::create(path, std::get<HeadRecord>(records[0]));
    ASSERT_TRUE(log);
    ASSERT_TRUE(log->append(frame(records[1]) + frame(records[2])));
  }
  EXPECT_FALSE(FactLog::create(path, {}));
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 3);
  std::string bytes = read_file(path).value();
  auto r = read(bytes);
  ASSERT_EQ(r.records.size(), 2U);
  {
    auto log = FactLog::open(path, r.scan->end);
    ASSERT_TRUE(log);
    ASSERT_TRUE(log->append(frame(records[3])));
    ASSERT_TRUE(log->sync());
  }
  bytes = read_file(path).value();
  r = read(bytes);
  ASSERT_EQ(r.records.size(), 3U);
  EXPECT_EQ(r.records[2], records[3]);
  EXPECT_EQ(r.scan->torn, 0U);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace skep::memory
