#pragma once
// One generation: what it was asked, its tokens, and how far it is. Owned by the Generator.
//
//   waiting ──slot──▶ running: prompt (evaluated < tokens - 1) ──▶ stream (evaluated == tokens - 1) ──▶ over
//      ▲                 │
//      └──── suspended ◀─┘ (preempted; comes back with what it has evaluated)

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "engine/adapter_shelf.h"
#include "engine/answer.h"
#include "engine/drafts.h"
#include "engine/kv_cache.h"
#include "engine/messages.h"
#include "engine/sampler.h"
#include "engine/vocabulary.h"

namespace skep::engine {

struct Sequence {
  Sequence(RequestId which, Generate what, std::vector<Token> prompt, Sampler chooser)
      : id(which),
        request(std::move(what)),
        tokens(std::move(prompt)),
        prompt_tokens(static_cast<int>(tokens.size())),
        sampler(std::move(chooser)),
        answer(request.stop) {}

  RequestId id = 0;
  Generate request;
  Scope scope;                 // within which cells are shared: the request's, with the adapter
  AdapterShelf::Hold adapter;  // what it computes with
  std::string prompt_text;     // for the conversation memo; empty where it has no key
  std::vector<Token> tokens;   // the prompt's, what was answered earlier, then the generated ones
  int prompt_tokens = 0;       // with what an earlier worker answered
  int answered = 0;            // of them
  int room = 0;                // tokens that may be generated: max_tokens, or what the context leaves

  Sampler sampler;
  std::unique_ptr<Grammar> grammar;  // null: free text
  Answer answer;

  std::optional<Slot> slot;  // set: running
  int evaluated = 0;         // tokens in the cache; in a slot fewer than tokens.size()
  int cells = 0;             // positions in the slot: evaluated, or more while a refused draft is not taken back
  int draft = 0;             // tokens at the end of `tokens` that are guesses, within one step
  std::vector<Ground> draft_grounds;
  DraftLuck luck;
  int cached = 0;  // of the prompt, taken over at the first start
  int generated = 0;

  // Set: its prompt is judged and nothing is generated (Score). What is known so far, from the first token on.
  std::optional<std::vector<TokenLogprob>> scores;

  TimePoint arrived{}, started{}, first_token{};  // started: it got its first slot

  [[nodiscard]] bool in_prompt() const { return evaluated + 1 < static_cast<int>(tokens.size()) || generated == 0; }
  [[nodiscard]] int pending() const { return static_cast<int>(tokens.size()) - evaluated; }
  [[nodiscard]] std::span<const Token> evaluated_tokens() const {
    return std::span(tokens).first(static_cast<size_t>(evaluated));
  }
};

}  // namespace skep::engine
