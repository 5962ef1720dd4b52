#pragma once
// A factored model as one with a single factor: the product of all factors, C order, and joint actions. Filtering it is
// exact where mean-field marginals may be off by half. Modalities stay as they are, seen by the one factor.

#include "mind/belief/model.h"

namespace skep::belief {

// Refuses more than `limit` joint states, or transitions that would take more than `bytes` in f64. Counts (pA, pB, pD)
// are not carried over unless the model already has one factor, which is returned as it is.
Result<GenerativeModel> joint_model(const GenerativeModel& model, int64_t limit, Bytes bytes = 1_GiB);

// By joint state: the combination of the states of a subset of the factors, as a flat index (the last one innermost).
std::vector<uint32_t> columns_of(const GenerativeModel& model, const std::vector<int>& subset);

}  // namespace skep::belief
