#include "store/record.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "store/dictionaries.h"

namespace skep::store {
namespace {

std::string conversation(Random& random) {
  static const char* kWords[] = {"the pump", "reads", "81 degrees", "is too hot", "valve", "check", "report", "again"};
  std::string text = R"({"role":"user","content":")";
  for (int i = 0; i < 60; ++i) text += std::string(kWords[random.below(8)]) + " ";
  return text + "\"}";
}

Dictionaries& trained() {
  static Dictionaries dictionaries;
  if (dictionaries.count("talk") == 0) {
    Random random(1);
    std::vector<std::string> samples;
    for (int i = 0; i < 300; ++i) samples.push_back(conversation(random));
    dictionaries.add(7, "talk", Dictionaries::train(samples).value());
  }
  return dictionaries;
}

TEST(Record, GivesBackEveryValueBitForBit) {
  Random random(2);
  for (size_t size : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{5000}, size_t{1} << 20}) {
    std::string value(size, 'x');
    for (char& c : value) c = static_cast<char>(random.next());
    std::string record = encode_record("talk", "key", value, trained());
    EXPECT_EQ(decode_record("key", record, trained()), value) << size;
    EXPECT_LE(record.size(), size + kRecordHeader) << "what doesn't shrink is stored as it is";
  }
}

TEST(Record, ADictionaryMakesSmallValuesSmaller) {
  Random random(3);
  std::string value = conversation(random);
  Dictionaries none;
  size_t without = encode_record("talk", "k", value, none).size();
  std::string with = encode_record("talk", "k", value, trained());
  EXPECT_LT(3 * with.size(), 2 * without);
  EXPECT_EQ(decode_record("k", with, trained()), value);
}

TEST(Record, FindsEveryFlippedBit) {
  Random random(4);
  std::string record = encode_record("talk", "key", conversation(random), trained());
  for (size_t bit = 0; bit < 8 * record.size(); ++bit) {
    std::string broken = record;
    broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode_record("key", broken, trained())) << bit;
  }
}

TEST(Record, FindsCutOnesAndThoseOfAnotherKey) {
  Random random(5);
  std::string record = encode_record("talk", "key", conversation(random), trained());
  for (size_t size = 0; size < record.size(); ++size) {
    EXPECT_FALSE(decode_record("key", record.substr(0, size), trained())) << size;
  }
  EXPECT_EQ(decode_record("other", record, trained()).error().code, ErrorCode::corrupt);
}

TEST(Record, NamesAMissingDictionary) {
  Random random(6);
  std::string record = encode_record("talk", "key", conversation(random), trained());
  Dictionaries none;
  auto read = decode_record("key", record, none);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message.find("dictionary 7"), std::string::npos) << read.error().message;
}

}  // namespace
}  // namespace skep::store
