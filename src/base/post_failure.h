#pragma once
// The rule of every asynchronous call in this house: its callback never comes from inside the call. For those that fail
// at once.

#include <utility>

#include "base/event_loop.h"
#include "base/result.h"

namespace skep {

// `done` takes a Result<T> or a Status.
template <typename Done>
void post_failure(EventLoop& loop, Done done, Error error) {
  loop.post([done = std::move(done), error = std::move(error)]() mutable { done(fail(std::move(error))); });
}

}  // namespace skep
