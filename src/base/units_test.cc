#include "base/units.h"

#include <gtest/gtest.h>

namespace skep {
namespace {

TEST(Units, PrintsThreeSignificantDigits) {
  EXPECT_EQ(to_string(Bytes(0)), "0 B");
  EXPECT_EQ(to_string(999_B), "999 B");
  EXPECT_EQ(to_string(1536_B), "1.50 KiB");
  EXPECT_EQ(to_string(4_GiB), "4.00 GiB");
  EXPECT_EQ(to_string(Bytes(123456789)), "118 MiB");
  EXPECT_EQ(to_string(Bytes(-2048)), "-2.00 KiB");
}

TEST(Units, ParsesBinaryAndDecimalUnits) {
  EXPECT_EQ(parse_bytes("4GiB").value(), 4_GiB);
  EXPECT_EQ(parse_bytes("4 gb").value(), Bytes(4'000'000'000));
  EXPECT_EQ(parse_bytes("1.5k").value(), 1536_B);
  EXPECT_EQ(parse_bytes("17").value(), 17_B);
}

TEST(Units, RefusesWhatIsNoSize) {
  for (const char* text : {"", "GiB", "-1", "4 parsecs", "1e400T", "1.2.3M", "99999999999T"}) {
    auto parsed = parse_bytes(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid_argument);
  }
}

}  // namespace
}  // namespace skep
