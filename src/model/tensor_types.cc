// The storage types of ggml, by their number in GGUF files. tensor_types_test.cc holds them against libggml's own
// table.

#include <array>
#include <string>
#include <utility>

#include "model/gguf.h"

namespace skep::model {
namespace {

struct Numbered {
  uint32_t number;
  TensorType type;
};

constexpr std::array kTypes{
    Numbered{0, {"F32", 1, 4}},         Numbered{1, {"F16", 1, 2}},         Numbered{2, {"Q4_0", 32, 18}},
    Numbered{3, {"Q4_1", 32, 20}},      Numbered{6, {"Q5_0", 32, 22}},      Numbered{7, {"Q5_1", 32, 24}},
    Numbered{8, {"Q8_0", 32, 34}},      Numbered{9, {"Q8_1", 32, 36}},      Numbered{10, {"Q2_K", 256, 84}},
    Numbered{11, {"Q3_K", 256, 110}},   Numbered{12, {"Q4_K", 256, 144}},   Numbered{13, {"Q5_K", 256, 176}},
    Numbered{14, {"Q6_K", 256, 210}},   Numbered{15, {"Q8_K", 256, 292}},   Numbered{16, {"IQ2_XXS", 256, 66}},
    Numbered{17, {"IQ2_XS", 256, 74}},  Numbered{18, {"IQ3_XXS", 256, 98}}, Numbered{19, {"IQ1_S", 256, 50}},
    Numbered{20, {"IQ4_NL", 32, 18}},   Numbered{21, {"IQ3_S", 256, 110}},  Numbered{22, {"IQ2_S", 256, 82}},
    Numbered{23, {"IQ4_XS", 256, 136}}, Numbered{24, {"I8", 1, 1}},         Numbered{25, {"I16", 1, 2}},
    Numbered{26, {"I32", 1, 4}},        Numbered{27, {"I64", 1, 8}},        Numbered{28, {"F64", 1, 8}},
    Numbered{29, {"IQ1_M", 256, 56}},   Numbered{30, {"BF16", 1, 2}},       Numbered{34, {"TQ1_0", 256, 54}},
    Numbered{35, {"TQ2_0", 256, 66}},   Numbered{39, {"MXFP4", 32, 17}},    Numbered{40, {"NVFP4", 64, 36}},
    Numbered{41, {"Q1_0", 128, 18}},    Numbered{42, {"Q2_0", 64, 18}},
};

}  // namespace

const TensorType* tensor_type(uint32_t type) {
  for (const Numbered& known : kTypes) {
    if (known.number == type) return &known.type;
  }
  return nullptr;
}

std::string tensor_type_name(uint32_t type) {
  const TensorType* known = tensor_type(type);
  return known != nullptr ? known->name : "type " + std::to_string(type);
}

}  // namespace skep::model
