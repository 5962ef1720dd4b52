#include "numpy_model.h"

namespace skep::python {

std::vector<belief::Tensor> to_tensors(const py::object& arrays) {
  std::vector<belief::Tensor> tensors;
  if (arrays.is_none()) return tensors;
  const auto add = [&tensors](const py::handle& item) {
    const Doubles array = py::cast<Doubles>(item);
    belief::Tensor t;
    for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) t.shape.push_back(static_cast<int>(array.shape(axis)));
    t.data.assign(array.data(), array.data() + array.size());
    tensors.push_back(std::move(t));
  };
  // A numeric array is one matrix; a list, tuple or object array holds one per modality or factor.
  if (py::isinstance<py::array>(arrays) && py::cast<py::array>(arrays).dtype().kind() != 'O') {
    add(arrays);
  } else {
    for (const py::handle& item : arrays) add(item);
  }
  return tensors;
}

py::array to_numpy(const belief::Tensor& tensor) {
  const std::vector<py::ssize_t> shape(tensor.shape.begin(), tensor.shape.end());
  py::array_t<double> array(shape);
  std::copy(tensor.data.begin(), tensor.data.end(), array.mutable_data());
  return array;
}

py::list to_numpy(const std::vector<belief::Tensor>& tensors) {
  py::list list;
  for (const belief::Tensor& t : tensors) list.append(to_numpy(t));
  return list;
}

py::array_t<double> to_numpy(std::span<const double> values) {
  return py::array_t<double>(static_cast<py::ssize_t>(values.size()), values.data());
}

namespace {

// [steps][factors]: an array, as pymdp has it, or lists of whole numbers.
belief::Policy policy_from(const py::handle& policy) {
  const auto steps = py::array_t<int64_t, py::array::c_style | py::array::forcecast>::ensure(policy);
  if (!steps || steps.ndim() != 2) {
    PyErr_Clear();
    throw py::value_error("policies: a list of arrays or lists [steps][factors] expected");
  }
  belief::Policy result;
  for (py::ssize_t t = 0; t < steps.shape(0); ++t) {
    belief::JointAction& action = result.emplace_back();
    for (py::ssize_t f = 0; f < steps.shape(1); ++f) action.push_back(static_cast<int>(steps.at(t, f)));
  }
  return result;
}

}  // namespace

belief::ActionSelection action_selection_from(const std::string& name) {
  if (name == "deterministic") return belief::ActionSelection::deterministic;
  if (name == "stochastic") return belief::ActionSelection::sampled;
  throw py::value_error("action_selection: deterministic or stochastic");
}

belief::GenerativeModel model_from(const py::object& A, const py::object& B, const py::object& C, const py::object& D,
                                   const py::object& E, const py::object& pA, const py::object& pB,
                                   const py::object& pD, int policy_len, const py::object& policies,
                                   const py::object& A_factor_list, const py::object& B_factor_list) {
  belief::GenerativeModel m;
  m.A = to_tensors(A);
  m.B = to_tensors(B);
  m.C = to_tensors(C);
  m.D = to_tensors(D);
  m.pA = to_tensors(pA);
  m.pB = to_tensors(pB);
  m.pD = to_tensors(pD);
  if (!E.is_none()) m.E = py::cast<std::vector<double>>(E);
  if (!policies.is_none()) {
    for (const py::handle& policy : policies) m.policies.push_back(policy_from(policy));
  }
  m.policy_length = policy_len;
  if (!A_factor_list.is_none()) m.A_factors = py::cast<std::vector<std::vector<int>>>(A_factor_list);
  if (!B_factor_list.is_none()) m.B_factors = py::cast<std::vector<std::vector<int>>>(B_factor_list);
  return value_or_raise(belief::complete(std::move(m)));
}

}  // namespace skep::python
