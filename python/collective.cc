// What a population believes as a whole and by groups.

#include "mind/belief/collective_state.h"
#include "population.h"

namespace skep::python {
namespace {

using belief::CollectiveState;

py::dict to_dict(const belief::CollectiveSummary& summary) {
  py::dict out;
  out["agents"] = summary.agents;
  out["free_energy"] = summary.free_energy;
  out["entropy"] = summary.entropy;
  out["agreement"] = summary.agreement;
  out["activity"] = summary.activity;
  return out;
}

// Knows its sizes, which CollectiveState only asserts.
class PythonCollective {
 public:
  PythonCollective(PopulationHandle& population, uint32_t groups, double threshold, double full_share)
      : capacity_(population->capacity()),
        groups_(groups),
        state_(*population, groups, {.threshold = threshold, .full_share = full_share}) {}

  void assign(uint32_t slot, uint32_t group) {
    if (slot >= capacity_) throw py::index_error("slot");
    if (group >= groups_) throw py::index_error("group");
    state_.assign(slot, group);
  }
  size_t update() { return state_.update(); }
  [[nodiscard]] py::dict whole() const { return to_dict(state_.whole()); }
  [[nodiscard]] py::dict group(uint32_t group) const {
    if (group >= groups_) throw py::index_error("group");
    return to_dict(state_.group(group));
  }
  [[nodiscard]] double error_bound() const { return state_.error_bound(); }

 private:
  uint32_t capacity_, groups_;
  CollectiveState state_;
};

}  // namespace

void define_collective(py::module_& module) {
  py::class_<PythonCollective>(module, "Collective",
                               "Mean free energy, entropy, agreement and activity of a population and of groups of it, "
                               "kept incrementally.")
      .def(py::init([](PopulationHandle& population, uint32_t groups, double threshold, double full_share) {
             if (groups == 0 || groups > population->capacity()) throw py::value_error("groups: 1 to capacity");
             if (!(threshold >= 0)) throw py::value_error("threshold: 0 or more");
             return PythonCollective(population, groups, threshold, full_share);
           }),
           py::arg("population"), py::arg("groups") = 1, py::arg("threshold") = 0.01, py::arg("full_share") = 0.3,
           py::keep_alive<1, 2>())
      .def("assign", &PythonCollective::assign, py::arg("slot"), py::arg("group"))
      .def("update", &PythonCollective::update, "After a step. How many agents were counted anew.")
      .def_property_readonly("whole", &PythonCollective::whole)
      .def("group", &PythonCollective::group, py::arg("group"))
      .def_property_readonly("error_bound", &PythonCollective::error_bound,
                             "Largest error of entropy and agreement against the full computation.");
}

}  // namespace skep::python
