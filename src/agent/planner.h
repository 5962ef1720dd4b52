#pragma once
// From a task request to what an engine is asked: which model, which prompt, how the answer is read. The dispatcher's
// seam to the minds; language_planner.h is the real one.

#include <functional>
#include <memory>
#include <string>

#include "agent/task.h"
#include "engine/messages.h"
#include "mind/language/request.h"

namespace skep::agent {

// Reads one answer's text as it comes: finds tool calls and reasoning in the model's own markup.
class AnswerReader {
 public:
  virtual ~AnswerReader() = default;
  virtual language::Delta feed(std::string_view text) = 0;
  virtual language::Delta finish() = 0;  // what was held back
};

struct Plan {
  std::string agent;    // whose task it is, when the request named an agent as its model; else as requested
  RouteDecision route;  // route.model is the residency's name of the engine to use
  engine::Generate generate;
  int prompt_tokens = 0;  // estimate; the engine counts
  double weight = 1;      // of the agent, in sharing
  scheduling::Priority priority = scheduling::Priority::normal;
  std::function<std::unique_ptr<AnswerReader>()> reader;  // a new one for each attempt
};

class Planner {
 public:
  virtual ~Planner() = default;
  virtual Result<Plan> plan(const TaskRequest& request) = 0;
};

}  // namespace skep::agent
