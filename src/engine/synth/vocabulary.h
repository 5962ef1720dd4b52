#pragma once
// A working byte-level BPE vocabulary (the GPT-2 kind) of any size, made from nothing but the text in corpus.cc: the
// merges are learnt there, so English, logs, JSON and code come out at three to four characters a token as with real
// tokenizers, and every byte string can be tokenized. Sizes beyond what that text teaches are filled with pseudo-words,
// each with a merge of its own. Deterministic.
//
// Format: tokenizer.ggml.{tokens, token_type, merges} of GGUF, with GPT-2's printable stand-ins for bytes.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace skep::synth {

// As llama_token_type.
enum class TokenType : int32_t { normal = 1, control = 3, unused = 5 };

struct Vocabulary {
  std::vector<std::string> tokens;  // by id, bytes as stand-ins; unique
  std::vector<int32_t> types;       // TokenType, by id
  std::vector<std::string> merges;  // "left right", first learnt first

  // Ids of the control tokens, the same in every size.
  static constexpr int32_t kEndOfText = 0;
  static constexpr int32_t kTurnStart = 1;  // <|im_start|>
  static constexpr int32_t kTurnEnd = 2;    // <|im_end|>
  static constexpr int32_t kBegin = 3;      // <|begin_of_text|>
};

// `size` tokens, at least 512.
Vocabulary make_vocabulary(int size);

// The ChatML template, with tools in the Hermes form (<tools>, <tool_call>, <tool_response>).
std::string_view chat_template();

// The text that merges are learnt from (corpus.cc): words, the commonest first, and passages.
std::string_view corpus_words();
std::string_view corpus_passages();

// GPT-2's printable stand-ins, UTF-8: 'a' stays "a", ' ' becomes "Ġ".
std::string stand_in(std::string_view bytes);

}  // namespace skep::synth
