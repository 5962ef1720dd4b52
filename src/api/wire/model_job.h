#pragma once
// Jobs of model tools as JSON: {"tool": "quantize", "parameters": {"input": "a.gguf", "output": "b.gguf", "type":
// "Q4_K_M", "force": true, "layers": [3, 4]}} in, jobs with state and progress out.

#include <string>
#include <vector>

#include "api/api_error.h"
#include "api/http_message.h"
#include "api/model_jobs.h"

namespace skep::api::wire {

// Values may be text, numbers, booleans (true: the flag is set; false: it is left out) and lists of these.
Parsed<ModelJobRequest> parse_model_job(const HttpRequest& request);
std::string model_job(const ModelJobView& job);
std::string model_jobs(const std::vector<ModelJobView>& jobs);

}  // namespace skep::api::wire
