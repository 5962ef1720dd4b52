#include "engine/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace skep::engine {
namespace {

using ::testing::HasSubstr;

std::vector<Message> one_of_each() {
  LoadOptions load;
  load.path = "/models/tiny.gguf";
  load.model_hash = "abc";
  load.chat_template = "chatml";
  load.kv_tokens = 8192;
  load.gpu_layers = -1;
  load.measure_only = true;
  load.kv_type = "q8_0";
  load.forward = "llama";
  load.park_memory = 64_MiB;
  load.park_directory = "/var/lib/skep/parked";
  load.park_disk = 2_GiB;
  load.adapter_memory = 32_MiB;
  load.cpu_limit = 0.8;
  Generate generate;
  generate.messages = {{"system", "be brief"}, {"user", std::string("nul \0 inside", 12)}};
  generate.sampling.temperature = 0.7F;
  generate.sampling.seed = 4'000'000'000U;
  generate.sampling.logit_bias = {{13, -100.0F}, {49151, 2.5F}};
  generate.stop = {"\n\n", "END"};
  generate.grammar = "root ::= \"a\"";
  generate.share_scope = "key-1";
  generate.public_bytes = 5;
  generate.adapter = "/models/a.gguf";
  generate.adapter_scale = 0.5F;
  generate.json_schema = R"({"type":"object"})";
  generate.sequence_key = "agent-7";
  generate.priority = 0;
  generate.answered = {5, 0, 49151};
  Loaded loaded;
  loaded.memory = {{"host", 100_MiB, 20_MiB, 3_MiB}, {"gpu0", 5_GiB, 1_B, Bytes(-1)}};
  loaded.vocabulary = 49152;
  loaded.chat_template = "chatml";
  loaded.forward = "native avx2";
  loaded.streamed = {5_GiB, 2_GiB, 1.5e9, 0.5};
  Piece piece{"héllo", 2, {17, -1}, {{"h\xC3", -0.5F, {{"h", -0.5F}, {"x", -3.0F}}}, {"\xA9llo", -1.0F, {}}}};
  Finished finished{FinishReason::length, {353, 251, 32}, std::chrono::milliseconds(3), Duration(1), Duration(-1), 7};
  Heartbeat heartbeat{3, 2, 4096, 1'000'000'000'000, 5, 0.0125, 2, "0-1", 10, 4};
  heartbeat.changes = {{"threads", "1", "threads waited", 1'700'000'000'000}};
  heartbeat.parked_memory = 5_MiB;
  heartbeat.parked_disk = 6_MiB;
  heartbeat.draft_tokens = 7;
  heartbeat.draft_accepted = 8;
  heartbeat.preemptions = 9;
  heartbeat.adapters = 2;
  heartbeat.adapter_bytes = 3_MiB;
  heartbeat.cpu_cores = 1.5;
  heartbeat.cpu_allowed = 1.6;
  heartbeat.cpu_rested = 12.25;
  Embeddings embeddings{{{0.5F, -0.25F}, {}, {1.0F}}, 12};
  return {Hello{kWireVersion, 4711},
          load,
          generate,
          Cancel{},
          Embed{{"a", ""}, {{1, 2, 3}, {}}},
          Tokenize{{{"user", "hi"}}, "text", true},
          HeartbeatRequest{},
          Shutdown{},
          Progress{0.25F},
          loaded,
          piece,
          finished,
          Failed{{ErrorCode::unavailable, "gone", "try again"}},
          embeddings,
          Tokens{{0, -1, 2147483647}},
          heartbeat,
          Score{"how likely?", false, 2},
          Scores{{{"how", 0, {}}, {" likely", -2.5F, {}}}}};
}

Frame only_frame(std::string_view bytes) {
  FrameDecoder decoder;
  decoder.feed(bytes);
  auto frame = decoder.next();
  EXPECT_TRUE(frame && *frame);
  auto rest = decoder.next();
  EXPECT_TRUE(rest && !*rest);
  return **frame;
}

TEST(Wire, EveryMessageComesBackAsItWasSent) {
  const auto messages = one_of_each();
  ASSERT_EQ(messages.size(), std::variant_size_v<Message>);
  for (size_t i = 0; i < messages.size(); ++i) {
    ASSERT_EQ(messages[i].index(), i) << "one of each, in the order of the variant";
    const Frame frame = only_frame(encode(99 + i, messages[i]).value());
    EXPECT_EQ(frame.kind, i);
    EXPECT_EQ(frame.request, 99 + i);
    const auto decoded = decode(frame);
    ASSERT_TRUE(decoded) << i;
    EXPECT_TRUE(*decoded == messages[i]) << i;
  }
}

TEST(Wire, AStreamIsCutIntoFramesHoweverItArrives) {
  std::string stream;
  for (const Message& m : one_of_each()) stream += encode(1, m).value();
  for (const size_t chunk : {size_t{1}, size_t{7}, size_t{64}, stream.size()}) {
    FrameDecoder decoder;
    size_t frames = 0;
    for (size_t at = 0; at < stream.size(); at += chunk) {
      decoder.feed(std::string_view(stream).substr(at, chunk));
      while (auto frame = decoder.next().value()) EXPECT_EQ(frame->kind, frames++);
    }
    EXPECT_EQ(frames, std::variant_size_v<Message>);
  }
}

TEST(Wire, AFrameOverTheLimitLosesTheStreamBeforeItIsRead) {
  std::string bytes = encode(1, Cancel{}).value();
  const uint32_t length = kMaxPayload + 1;
  std::memcpy(bytes.data(), &length, sizeof length);
  FrameDecoder decoder;
  decoder.feed(bytes.substr(0, 4));
  EXPECT_EQ(decoder.next().error().code, ErrorCode::corrupt);
  decoder.feed(encode(1, Cancel{}).value());
  EXPECT_EQ(decoder.next().error().code, ErrorCode::corrupt) << "it stays lost";
}

TEST(Wire, AMessageOverTheLimitIsRefusedByTheSender) {
  Piece piece;
  piece.text.resize(kMaxPayload);
  EXPECT_EQ(encode(1, piece).error().code, ErrorCode::too_large);
}

TEST(Wire, TruncatedTrailingAndUnknownPayloadsAreErrors) {
  for (const Message& m : one_of_each()) {
    const Frame frame = only_frame(encode(1, m).value());
    for (size_t cut = 0; cut < frame.payload.size(); ++cut) {
      EXPECT_FALSE(decode({frame.kind, 1, frame.payload.substr(0, cut)})) << int{frame.kind} << " cut at " << cut;
    }
    EXPECT_FALSE(decode({frame.kind, 1, frame.payload + '\0'}));
  }
  EXPECT_THAT(decode({std::variant_size_v<Message>, 1, ""}).error().message, HasSubstr("unknown kind"));
  EXPECT_FALSE(decode({255, 1, ""}));
}

TEST(Wire, ACountWithNothingBehindItIsAnErrorAndNotAnAllocation) {
  const std::string huge("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 10);
  EXPECT_FALSE(decode({14, 1, huge}));           // Tokens
  EXPECT_FALSE(decode({13, 1, "\x01" + huge}));  // Embeddings: one vector of 2^64 - 1 floats
  EXPECT_FALSE(decode({10, 1, huge}));           // Piece: the text
}

TEST(Wire, ValuesOutOfTheirRangeAreErrors) {
  EXPECT_FALSE(decode({12, 1, std::string("\x7F\0\0", 3)})) << "an error code that does not exist";
  EXPECT_TRUE(decode({12, 1, std::string("\x00\0\0", 3)}));
  EXPECT_FALSE(decode({0, 1, std::string("\xFF\xFF\xFF\xFF\xFF\x01\x00", 7)})) << "a version over 32 bits";
  EXPECT_FALSE(decode({14, 1, std::string("\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", 11)})) << "over 64 bits";
}

TEST(Wire, RandomDamageNeverCrashes) {
  std::mt19937 random(7);
  const auto messages = one_of_each();
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = encode(1, messages[random() % messages.size()]).value();
    for (unsigned flips = random() % 4; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    FrameDecoder decoder;
    decoder.feed(bytes);
    if (const auto frame = decoder.next(); frame && *frame) (void)decode(**frame);
  }
}

}  // namespace
}  // namespace skep::engine
