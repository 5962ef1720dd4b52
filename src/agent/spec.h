#pragma once
// What an agent is, as its roster says it.

#include <string>
#include <vector>

#include "scheduling/priority.h"

namespace skep::agent {

// Which of an agent's answers may come from the response cache (cached_tasks.h).
enum class CacheUse {
  decided,  // those that what is asked decides: temperature 0, or a seed
  always,   // sampled ones, too
  similar,  // decided ones, and answers to questions that mean the same
};

struct AgentSpec {
  std::string name;   // kebab-case, unique
  std::string title;  // for people
  std::string mind = "language";
  std::string tier;  // fast, balanced, deep
  scheduling::Priority priority = scheduling::Priority::normal;
  std::string adapter;  // a LoRA adapter's name, for the models that it fits; empty: none
  std::vector<std::string> task_types;
  std::vector<std::string> tools;  // names of tools it may call
  std::string system_prompt;       // its own part; the roster's preamble stands before it
  bool is_public = false;          // both may be shared between callers
  double weight = 1;               // its share among agents of one priority
  int tokens_per_minute = 0;       // 0: the config's limit
  int concurrent = 0;              // 0: the config's limit
  CacheUse cache = CacheUse::decided;
};

}  // namespace skep::agent
