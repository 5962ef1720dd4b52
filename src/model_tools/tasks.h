#pragma once
// A task file: questions with known answers, one JSON object a line. What models are trained on and scored with.
//
//   {"messages": [{"role": "user", "content": "…"}], "answer": "…", "kind": "triage", "steps": 1}
//   {"prompt": "…", "answer": {"sensor": "p4", "value": 71}, "kind": "extract", "steps": 1, "max_tokens": 64}
//
// `prompt` is the text of one user message. `answer` is text, or JSON that the model must write. `kind` and `steps`
// (of reasoning) sort the table and may be missing, as may max_tokens. `match` says what counts as right:
//   exact      the whole answer, white space at its ends apart (the default for text)
//   last_line  the answer's last line: what comes before is reasoning
//   json       equal as JSON: order of keys, white space and the way numbers are written apart (default for JSON)
// Unknown fields are ignored.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/messages.h"

namespace skep::model_tools {

enum class Match { exact, last_line, json };

struct TaskExample {
  std::vector<engine::ChatMessage> messages;
  std::string answer;  // JSON as text
  std::string kind = "all";
  int steps = 1;
  int max_tokens = 0;  // 0: the evaluation's own
  Match match = Match::exact;
};

enum class Answers { needed, optional };  // optional: questions alone will do; the answer is then empty

// `where` names the line in errors: "eval.jsonl:17".
Result<TaskExample> parse_task(std::string_view line, const std::string& where, Answers answers = Answers::needed);
// At most `most` tasks, the first ones (0: all). Reads line by line, keeps what it returns.
Result<std::vector<TaskExample>> read_tasks(const std::string& path, size_t most = 0,
                                            Answers answers = Answers::needed);
// One line, without its end.
std::string task_line(const TaskExample& task);

bool is_right(const TaskExample& task, std::string_view answer);

}  // namespace skep::model_tools
