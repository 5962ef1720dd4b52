#pragma once
// A teacher's opinion of every next token of a window: its k most probable ones.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model_tools/llama_session.h"

namespace skep::model_tools {

class Teacher {
 public:
  // invalid_argument: its vocabulary is not the student's.
  static Result<std::unique_ptr<Teacher>> open(const std::string& path, const LlamaSession& student, int window,
                                               int top, int threads);

  // For each of the window's positions that `wanted` names: tokens and probabilities, which come to 1 within each
  // position. Nothing for the others.
  using Opinion = std::vector<std::pair<Token, float>>;
  Result<std::vector<Opinion>> opinions(std::span<const Token> window, const std::function<bool(int)>& wanted);

 private:
  Teacher(std::unique_ptr<LlamaSession> session, int top) : session_(std::move(session)), top_(top) {}
  std::unique_ptr<LlamaSession> session_;
  int top_;
};

}  // namespace skep::model_tools
