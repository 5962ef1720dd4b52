#pragma once
// Between numpy and generative models. Errors become Python's ValueError here, at the border.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <span>

#include "mind/belief/agent.h"
#include "mind/belief/model.h"

namespace skep::python {

namespace py = pybind11;

// The value, or ValueError with message and hint.
template <typename T>
T value_or_raise(Result<T> result) {
  if (!result) throw py::value_error(result.error().text());
  return std::move(result).value();
}
inline void check_or_raise(const Status& status) {
  if (!status) throw py::value_error(status.error().text());
}

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

// A list (or numpy object array) of arrays, or a single array; None gives nothing.
std::vector<belief::Tensor> to_tensors(const py::object& arrays);
py::array to_numpy(const belief::Tensor& tensor);
py::list to_numpy(const std::vector<belief::Tensor>& tensors);
py::array_t<double> to_numpy(std::span<const double> values);

// "deterministic" or "stochastic".
belief::ActionSelection action_selection_from(const std::string& name);

// From pymdp's keyword arguments of the same names; completed and validated.
belief::GenerativeModel model_from(const py::object& A, const py::object& B, const py::object& C, const py::object& D,
                                   const py::object& E, const py::object& pA, const py::object& pB,
                                   const py::object& pD, int policy_len, const py::object& policies,
                                   const py::object& A_factor_list, const py::object& B_factor_list);

void define_agent(py::module_& module);
void define_population(py::module_& module);
void define_collective(py::module_& module);
void define_cheaper_beliefs(py::module_& module);

}  // namespace skep::python
