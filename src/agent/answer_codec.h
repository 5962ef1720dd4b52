#pragma once
// What decides an answer, and an answer as the cache keeps it.

#include <optional>
#include <string>
#include <string_view>

#include "agent/planner.h"
#include "agent/task.h"
#include "cache/cache_key.h"

namespace skep::agent {

// SHA-256 over everything that decides what the engine says and how it is read: the model's content, the template, the
// messages with tools and agent's prompt in them, grammar, sampling, limits, the caller's share scope. Not what decides
// only when or where: priority, deadline, keep-alive, ids.
// `model` stands for the model's content: its hash, or for a remote one its address and name.
cache::CacheKey answer_key(const engine::Generate& generate, const language::Request& input, std::string_view model);

// The same without the last user message's text: what a semantic hit must agree in.
cache::CacheKey answer_scope(const engine::Generate& generate, const language::Request& input, std::string_view model);
// That text; empty: there is none, or more than one message could be meant.
std::string question_of(const engine::Generate& generate);

std::string encode_answer(const TaskResult& result);
// Message, finish reason, usage and seed; the rest is the asking task's own. nullopt: another version's, or broken.
std::optional<TaskResult> decode_answer(std::string_view bytes);

}  // namespace skep::agent
