#include <gtest/gtest.h>

#include "engine/synth/storage_types.h"
#include "model/gguf.h"

namespace skep::model {
namespace {

TEST(TensorTypes, AreThoseOfLibggml) {
  uint32_t next = 0;
  for (const synth::StorageType& type : synth::storage_types()) {
    for (; next < type.number; ++next) EXPECT_EQ(tensor_type(next), nullptr) << "libggml has no type " << next;
    ++next;
    const TensorType* known = tensor_type(type.number);
    ASSERT_NE(known, nullptr) << type.name;
    EXPECT_EQ(known->name, type.name);
    EXPECT_EQ(known->block, type.block) << type.name;
    EXPECT_EQ(known->bytes, type.bytes) << type.name;
  }
}

}  // namespace
}  // namespace skep::model
