#include <gtest/gtest.h>

#include <cctype>

#include "ggml.h"
#include "model/gguf.h"

namespace skep::model {
namespace {

TEST(TensorTypes, AreThoseOfLibggml) {
  for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
    const auto type = static_cast<ggml_type>(i);
    const TensorType* known = tensor_type(static_cast<uint32_t>(i));
    if (ggml_blck_size(type) == 0) {
      EXPECT_EQ(known, nullptr) << i;
      continue;
    }
    ASSERT_NE(known, nullptr) << i << " " << ggml_type_name(type);
    EXPECT_EQ(known->block, ggml_blck_size(type)) << known->name;
    EXPECT_EQ(known->bytes, static_cast<int>(ggml_type_size(type))) << known->name;
    std::string name = ggml_type_name(type);
    for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    EXPECT_EQ(known->name, name);
  }
}

}  // namespace
}  // namespace skep::model
