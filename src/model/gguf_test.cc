#include "model/gguf.h"

#include <gtest/gtest.h>

#include <limits>

#include "model/describe.h"
#include "model/fingerprint.h"
#include "model/gguf_builder.h"
#include "model/inspect.h"

namespace skep::model {
namespace {

Result<GgufFile> parse(const std::string& bytes, const GgufLimits& limits = {}) {
  MemorySource source(std::as_bytes(std::span(bytes)));
  return parse_gguf(source, "x.gguf", limits);
}

// The reason why `bytes` are refused; empty if they are not.
std::string refusal(const std::string& bytes, const GgufLimits& limits = {}) {
  const auto file = parse(bytes, limits);
  if (file) return "";
  EXPECT_EQ(file.error().code, ErrorCode::corrupt);
  return file.error().message;
}

#define EXPECT_REFUSED(bytes, part) EXPECT_NE(refusal(bytes).find(part), std::string::npos) << refusal(bytes)

TEST(Gguf, ReadsMetadataOfEveryTypeAndTensors) {
  GgufBuilder b;
  b.model().real("llama.rope.freq_base", 1e6F).boolean("b", true);
  b.entry("i", GgufType::int8, GgufBuilder::raw(int8_t{-3}));
  b.entry("big", GgufType::uint64, GgufBuilder::raw(std::numeric_limits<uint64_t>::max()));
  b.entry("d", GgufType::float64, GgufBuilder::raw(0.25));
  const auto file = parse(b.bytes());
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(*file->text("general.architecture"), "llama");
  EXPECT_EQ(file->integer("llama.context_length"), 2048);
  EXPECT_EQ(file->number("llama.rope.freq_base"), 1e6);
  EXPECT_EQ(file->boolean("b"), true);
  EXPECT_EQ(file->integer("i"), -3);
  EXPECT_EQ(file->integer("big"), std::nullopt) << "does not fit";
  EXPECT_EQ(file->number("d"), 0.25);
  EXPECT_EQ(file->text("b"), nullptr) << "another type";
  EXPECT_EQ(file->array("tokenizer.ggml.tokens")->count, 3U);
  ASSERT_EQ(file->tensors.size(), 2U);
  EXPECT_EQ(file->tensors[0].bytes, 64 * 3 / 32 * 18);
  EXPECT_EQ(file->tensors[1].offset, 128) << "108 bytes, aligned to 32";
  EXPECT_EQ(file->data_offset % 32, 0);
}

TEST(Gguf, ReadsTheSecondVersion) {
  GgufBuilder b;
  b.version = 2;
  EXPECT_TRUE(parse(b.model().bytes()));
}

TEST(Gguf, StepsOverLargeArraysKeepingTheirBeginning) {
  std::vector<std::string> many(5000, "token");
  many[0] = "first";
  GgufBuilder b;
  b.model().texts("many", many).number("after", 7);
  const auto file = parse(b.bytes());
  ASSERT_TRUE(file);
  const GgufArray* array = file->array("many");
  EXPECT_EQ(array->count, 5000U);
  EXPECT_EQ(array->first.size(), GgufLimits{}.kept_strings);
  EXPECT_EQ(std::get<std::string>(array->first[0]), "first");
  EXPECT_EQ(array->bytes, 5000 * (8 + 5));
  EXPECT_EQ(file->integer("after"), 7);
}

TEST(Gguf, TellsWhatIsNoGgufFile) {
  EXPECT_REFUSED(std::string("%PDF-1.7 and more text that is long enough"), "begins with '%PDF'");
  EXPECT_REFUSED(std::string(), "at byte 0: the magic number needs 4 bytes, 0 are left");
  GgufBuilder b;
  b.version = 1;
  EXPECT_REFUSED(b.model().bytes(), "version 1");
  b.version = 0x03000000;
  EXPECT_REFUSED(b.bytes(), "big-endian");
}

// Cut anywhere, a file is refused with a position inside it, and never accepted.
TEST(Gguf, RefusesAFileCutAtAnyByte) {
  const std::string whole = GgufBuilder().model().bytes();
  ASSERT_EQ(refusal(whole), "");
  const size_t end_of_data = whole.size() - 256 + 64 * 4;  // the last tensor's last byte
  for (size_t length = 0; length < std::min(whole.size(), end_of_data); ++length) {
    EXPECT_NE(refusal(whole.substr(0, length)).find("x.gguf: at byte "), std::string::npos) << length;
  }
}

TEST(Gguf, RefusesCountsThatTheFileCannotHoldWithoutAllocating) {
  const std::string head = "GGUF" + GgufBuilder::raw(uint32_t{3});
  const auto huge = GgufBuilder::raw(std::numeric_limits<uint64_t>::max());
  const auto none = GgufBuilder::raw(uint64_t{0});
  EXPECT_REFUSED(head + huge + none, "18446744073709551615 tensors");
  EXPECT_REFUSED(head + none + huge, "18446744073709551615 metadata values");
  EXPECT_REFUSED(head + none + GgufBuilder::raw(uint64_t{1}) + huge, "a metadata key needs");
  GgufBuilder array;
  array.entry("a", GgufType::array, GgufBuilder::raw(GgufType::uint8) + huge);
  EXPECT_REFUSED(array.bytes(), "an array of 18446744073709551615 uint8 can't fit");
  GgufBuilder strings;
  strings.entry("a", GgufType::array, GgufBuilder::raw(GgufType::string) + GgufBuilder::raw(uint64_t{1}) + huge);
  EXPECT_REFUSED(strings.bytes(), "needs 18446744073709551615 bytes");
}

TEST(Gguf, RefusesDeepNesting) {
  std::string body;
  for (int i = 0; i < 100; ++i) body += GgufBuilder::raw(GgufType::array) + GgufBuilder::raw(uint64_t{1});
  body += GgufBuilder::raw(GgufType::uint8) + GgufBuilder::raw(uint64_t{0});
  GgufBuilder b;
  EXPECT_REFUSED(b.entry("a", GgufType::array, body).bytes(), "nested deeper");
}

TEST(Gguf, RefusesContradictionsInTheTensorList) {
  const auto with = [](auto change) {
    GgufBuilder b;
    change(b);
    return b.bytes() + std::string(4096, '\0');
  };
  EXPECT_REFUSED(with([](auto& b) { b.tensor("a", {32}).tensor("a", {32}); }), "the tensor a stands twice");
  EXPECT_REFUSED(with([](auto& b) { b.tensor("a", {1, 1, 1, 1, 1}); }), "5 dimensions");
  EXPECT_REFUSED(with([](auto& b) { b.tensor_at("a", {}, 0, 0); }), "0 dimensions");
  EXPECT_REFUSED(with([](auto& b) { b.tensor_at("a", {0}, 0, 0); }), "extent of 0");
  EXPECT_REFUSED(with([](auto& b) { b.tensor_at("a", {1ULL << 40, 1ULL << 40}, 0, 0); }), "extent");
  EXPECT_REFUSED(with([](auto& b) { b.tensor_at("a", {33}, 2, 0); }), "no multiple of Q4_0's block of 32");
  EXPECT_REFUSED(with([](auto& b) { b.tensor_at("a", {32}, 0, 7); }), "not aligned");
  EXPECT_REFUSED(with([](auto& b) { b.tensor_at("a", {32}, 0, 1ULL << 63); }), "beyond");
  EXPECT_REFUSED(with([](auto& b) { b.tensor_at("a", {32}, 0, 0).tensor_at("b", {32}, 0, 0); }),
                 "tensor b lies at 0, expected at 128");
  EXPECT_REFUSED(with([](auto& b) { b.tensor_at("a", {1 << 20}, 0, 0); }), "it is truncated");
  EXPECT_REFUSED(with([](auto& b) { b.number("general.alignment", 24).tensor("a", {32}); }), "power of two");
  EXPECT_REFUSED(with([](auto& b) { b.number("k", 1).number("k", 2); }), "the metadata key k stands twice");
  EXPECT_REFUSED(with([](auto& b) { b.entry("k", static_cast<GgufType>(99), ""); }), "value type 99");
}

TEST(Gguf, AcceptsATensorTypeThatItDoesNotKnowYet) {
  GgufBuilder b;
  const auto file = parse(b.tensor("a", {64}, 77).tensor("b", {32}).bytes());
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->tensors[0].bytes, 64);
  EXPECT_EQ(tensor_type_name(77), "type 77");
}

TEST(Gguf, HoldsItsLimits) {
  GgufBuilder b;
  b.model();
  EXPECT_NE(refusal(b.bytes(), {.values = 3}).find("at most 3"), std::string::npos);
  EXPECT_NE(refusal(b.bytes(), {.tensors = 1}).find("at most 1"), std::string::npos);
  EXPECT_NE(refusal(b.bytes(), {.kept = Bytes(4)}).find("of metadata text"), std::string::npos);
  EXPECT_NE(refusal(b.bytes(), {.header = Bytes(100)}).find("are left"), std::string::npos);
}

TEST(Describe, TellsWhatTheCatalogShows) {
  GgufBuilder b;
  b.model("qwen2").text("tokenizer.chat_template", "{% if tools %}<tool_call>{% endif %}<think>");
  const FileSummary summary = describe(*parse(b.bytes()));
  EXPECT_EQ(summary.info.architecture, "qwen2");
  EXPECT_EQ(summary.info.quantization, "Q4_0");
  EXPECT_EQ(summary.info.parameters, 64 * 3 + 64);
  EXPECT_EQ(summary.info.context_length, 2048);
  EXPECT_TRUE(summary.info.has_chat_template);
  EXPECT_FALSE(summary.info.embeds);
  EXPECT_EQ(summary.info.capabilities, (std::vector<std::string>{"completion", "tools", "thinking"}));
  EXPECT_EQ(summary.info.broken, "");
}

TEST(Describe, KnowsEncodersByNameAndByPooling) {
  GgufBuilder bert, pooled;
  EXPECT_TRUE(describe(*parse(bert.model("bert").bytes())).info.embeds);
  EXPECT_TRUE(describe(*parse(pooled.model("qwen3").number("qwen3.pooling_type", 3).bytes())).info.embeds);
}

TEST(Describe, SaysWhyAFileIsNoModel) {
  const auto reason = [](GgufBuilder& b) { return describe(*parse(b.bytes())).info.broken; };
  GgufBuilder none, adapter, vocabulary, strange, halved;
  EXPECT_NE(reason(none).find("no architecture"), std::string::npos);
  EXPECT_NE(reason(adapter.text("general.type", "adapter")).find("LoRA"), std::string::npos);
  EXPECT_NE(reason(vocabulary.text("general.architecture", "llama")).find("no tensors"), std::string::npos);
  EXPECT_NE(reason(strange.text("general.architecture", "\x1b[31m; rm").tensor("a", {32})).find("no architecture"),
            std::string::npos);
  EXPECT_NE(reason(halved.text("general.architecture", "llama").tensor("a", {32})).find("lacks llama.context_length"),
            std::string::npos);
}

TEST(Presentable, LeavesGoodTextAndDefusesBad) {
  EXPECT_EQ(presentable("Größe 世界 🐝"), "Größe 世界 🐝");
  EXPECT_EQ(presentable("a\x1b[31m\nb"), "a [31m b");
  EXPECT_EQ(presentable("\xff\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(presentable("\xed\xa0\x80").find('\xed'), std::string::npos) << "a surrogate";
  EXPECT_EQ(presentable("ab世", 4), "ab") << "never half a character";
}

std::string fingerprint_of(const std::string& bytes) {
  MemorySource source(std::as_bytes(std::span(bytes)));
  const auto file = parse_gguf(source, "x", {});
  return *fingerprint(source, *file);
}

TEST(Fingerprint, ChangesWithMetadataAndWithTensorBytesAtBothEnds) {
  GgufBuilder b;
  b.model().tensor("big", {1 << 20});
  const std::string bytes = b.bytes();
  const std::string original = fingerprint_of(bytes);
  EXPECT_EQ(original.size(), 32U);
  EXPECT_EQ(fingerprint_of(bytes), original);
  std::string last = bytes, first = bytes, longer = bytes;
  last.back() = 1;
  first[b.header().size() + 40] = 1;
  longer.push_back('\0');
  EXPECT_NE(fingerprint_of(last), original);
  EXPECT_NE(fingerprint_of(first), original);
  EXPECT_NE(fingerprint_of(longer), original);
  EXPECT_NE(fingerprint_of(b.number("k", 1).bytes()), original);
}

TEST(Inspect, FitsTheTerminalAndSumsUpTheStorage) {
  GgufBuilder b;
  b.model().text("general.description", std::string(500, 'x')).tensor("more", {64, 100}, 8);
  const auto file = parse(b.bytes());
  const std::string text = inspect_text(*file, "x.gguf", {.tensors = true});
  EXPECT_NE(text.find("llama · 6656 parameters · Q4_0"), std::string::npos) << text;
  EXPECT_NE(text.find("token_embd.weight"), std::string::npos);
  for (size_t at = 0, end = 0; at < text.size(); at = end + 1) {
    end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    const auto columns = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; });
    EXPECT_LE(columns, 80) << line;
  }
  const auto uses = storage_of(*file);
  ASSERT_EQ(uses.size(), 3U);
  EXPECT_EQ(tensor_type_name(uses[0].type), "Q8_0") << "most bytes first";
}

TEST(Inspect, GivesJsonWithEveryTensorAndKey) {
  GgufBuilder b;
  const auto file = parse(b.model().bytes());
  const std::string json = inspect_json(*file, "x.gguf");
  EXPECT_NE(json.find(R"("general.architecture":"llama")"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("tokenizer.ggml.tokens":["a","b","c"])"), std::string::npos);
  EXPECT_NE(json.find(R"({"name":"token_embd.weight","type":"Q4_0","extent":[64,3])"), std::string::npos);
}

}  // namespace
}  // namespace skep::model
