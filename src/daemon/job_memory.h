#pragma once
// What a job of a model tool will take at most: what is booked for it, and the limit that its process runs under. By
// the headers of the models it works on and by its options; rather too much than too little.

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace skep::daemon {

using JobParameters = std::map<std::string, std::string>;  // by name; files as paths

// `tool`: a known one with checked parameters. invalid_argument: a shape that there is not. Blocking: reads the headers
// of models, some milliseconds.
Result<Bytes> job_memory(std::string_view tool, const JobParameters& parameters);

}  // namespace skep::daemon
