// Populations for numpy. Observations and actions go in as they are, beliefs, actions and free energies come out as
// views of the population's own memory: nothing is copied, and a step changes what the views show.

#include "mind/belief/population.h"

#include <limits>

#include "numpy_model.h"

namespace skep::python {
namespace {

using belief::Population;

// No conversion: an array of another type or stride would have to be copied, so it is refused instead.
using Indices = py::array_t<uint16_t, py::array::c_style>;

std::span<const uint16_t> indices_of(const py::array& array, const char* name) {
  if (!py::isinstance<Indices>(array))
    throw py::type_error(std::string(name) + ": a C-contiguous array of numpy.uint16 expected");
  return {static_cast<const uint16_t*>(array.data()), static_cast<size_t>(array.size())};
}

class PythonPopulation {
 public:
  PythonPopulation(belief::GenerativeModel model, belief::PopulationOptions options, int threads)
      : pool_(kernel::ThreadPool::create(threads)),
        population_(value_or_raise(Population::create(std::move(model), options, *pool_))) {}
  PythonPopulation(belief::PopulationOptions options, int threads)
      : pool_(kernel::ThreadPool::create(threads)), population_(value_or_raise(Population::open(options, *pool_))) {}

  Population& operator*() { return *population_; }
  Population* operator->() { return population_.get(); }

  void step(const py::array& observations) {
    const auto indices = indices_of(observations, "observations");
    Status status;
    {
      py::gil_scoped_release release;
      status = population_->step(indices);
    }
    check_or_raise(status);
  }

  void step_some(const py::array& slots, const py::array& observations) {
    using Slots = py::array_t<uint32_t, py::array::c_style>;
    if (!py::isinstance<Slots>(slots)) throw py::type_error("slots: a C-contiguous array of numpy.uint32 expected");
    const std::span<const uint32_t> chosen(static_cast<const uint32_t*>(slots.data()),
                                           static_cast<size_t>(slots.size()));
    check_or_raise(population_->step_some(chosen, indices_of(observations, "observations")));
  }

  void set_actions(const py::array& actions) {
    const auto indices = indices_of(actions, "actions");
    if (indices.size() != population_->capacity()) throw py::value_error("actions: one per slot expected");
    for (uint32_t slot = 0; slot < indices.size(); ++slot) {
      if (population_->occupied(slot) && indices[slot] >= population_->model().joint_actions())
        throw py::value_error("actions: out of range");
    }
    population_->set_actions(indices);
  }

  // [capacity, states], a view of the rows where they lie evenly, which they do in memory; from a file a copy.
  static py::array beliefs(const py::object& self) {
    auto& population = *self.cast<PythonPopulation&>().population_;
    const auto capacity = static_cast<py::ssize_t>(population.capacity());
    const auto states = static_cast<py::ssize_t>(population.belief_size());
    const auto& o = population.options();
    if (o.precision == belief::Precision::f32 && o.file.empty() && !o.learning) {
      const float* first = population.belief(0).data();
      const auto pitch =
          capacity > 1 ? (population.belief(1).data() - first) * static_cast<py::ssize_t>(sizeof(float)) : 0;
      return read_only(py::array(py::dtype::of<float>(), {capacity, states},
                                 {pitch, static_cast<py::ssize_t>(sizeof(float))}, first, self));
    }
    py::array_t<double> copy({capacity, states});
    for (py::ssize_t slot = 0; slot < capacity; ++slot) {
      population.copy_belief(static_cast<uint32_t>(slot), {copy.mutable_data(slot, 0), static_cast<size_t>(states)});
    }
    return copy;
  }

  template <typename T>
  static py::array view(const py::object& self, std::span<const T> values) {
    return read_only(py::array(py::dtype::of<T>(), {static_cast<py::ssize_t>(values.size())},
                               {static_cast<py::ssize_t>(sizeof(T))}, values.data(), self));
  }

 private:
  static py::array read_only(py::array array) {
    py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    return array;
  }

  std::unique_ptr<kernel::ThreadPool> pool_;
  std::unique_ptr<Population> population_;
};

}  // namespace

void define_population(py::module_& module) {
  py::class_<PythonPopulation>(
      module, "Population",
      "Agents that share a generative model, stepped in batch over all cores. Arrays are by slot.")
      .def(py::init([](const py::object& A, const py::object& B, const py::object& C, const py::object& D,
                       const py::object& E, uint32_t capacity, int policy_len, double gamma, bool plan,
                       const std::string& dtype, const std::string& file, uint64_t seed, int threads,
                       const py::object& A_factor_list, const py::object& B_factor_list) {
             belief::PopulationOptions o;
             o.capacity = capacity;
             o.gamma = gamma;
             o.plan = plan;
             o.keep_policies = plan;
             if (dtype != "float32" && dtype != "float64") throw py::value_error("dtype: float32 or float64");
             o.precision = dtype == "float32" ? belief::Precision::f32 : belief::Precision::f64;
             o.file = file;
             o.seed = seed;
             const py::none none;
             return PythonPopulation(
                 model_from(A, B, C, D, E, none, none, none, policy_len, none, A_factor_list, B_factor_list), o,
                 threads);
           }),
           py::arg("A"), py::arg("B"), py::arg("C") = py::none(), py::arg("D") = py::none(), py::arg("E") = py::none(),
           py::arg("capacity") = 1024, py::arg("policy_len") = 1, py::arg("gamma") = 16.0, py::arg("plan") = true,
           py::arg("dtype") = "float32", py::arg("file") = "", py::arg("seed") = 0, py::arg("threads") = 0,
           py::arg("A_factor_list") = py::none(), py::arg("B_factor_list") = py::none())
      .def_static(
          "open",
          [](const std::string& file, int threads) {
            belief::PopulationOptions o;
            o.file = file;
            return PythonPopulation(o, threads);
          },
          py::arg("file"), py::arg("threads") = 0, "Continues from a state file where its last complete step left it.")
      .def(
          "add",
          [](PythonPopulation& p, uint32_t count) {
            std::vector<uint32_t> slots;
            for (uint32_t i = 0; i < count; ++i) slots.push_back(value_or_raise(p->add()).slot);
            return slots;
          },
          py::arg("count") = 1, "The slots of the new agents.")
      .def("remove",
           [](PythonPopulation& p, uint32_t slot) {
             if (!p->occupied(slot)) throw py::value_error("no agent in that slot");
             check_or_raise(p->remove(p->at(slot)));
           })
      .def("step", &PythonPopulation::step, py::arg("observations"))
      .def("step_some", &PythonPopulation::step_some, py::arg("slots"), py::arg("observations"))
      .def("set_actions", &PythonPopulation::set_actions, py::arg("actions"))
      .def_property_readonly("beliefs", &PythonPopulation::beliefs)
      .def_property_readonly("actions",
                             [](const py::object& self) {
                               return PythonPopulation::view(self, (*self.cast<PythonPopulation&>()).actions());
                             })
      .def_property_readonly("free_energy",
                             [](const py::object& self) {
                               return PythonPopulation::view(self, (*self.cast<PythonPopulation&>()).free_energy());
                             })
      .def("q_pi",
           [](const py::object& self, uint32_t slot) {
             Population& p = *self.cast<PythonPopulation&>();
             if (slot >= p.capacity()) throw py::index_error("slot");
             return PythonPopulation::view(self, p.policy_posterior(slot));
           })
      .def("G",
           [](const py::object& self, uint32_t slot) {
             Population& p = *self.cast<PythonPopulation&>();
             if (slot >= p.capacity()) throw py::index_error("slot");
             return PythonPopulation::view(self, p.neg_efe(slot));
           })
      .def(
          "marginal",
          [](PythonPopulation& p, uint32_t slot, int factor) {
            if (slot >= p->capacity() || factor < 0 || factor >= p->model().factors())
              throw py::index_error("slot or factor");
            py::array_t<double> out(p->model().num_states[static_cast<size_t>(factor)]);
            p->marginal(slot, factor, {out.mutable_data(), static_cast<size_t>(out.size())});
            return out;
          },
          py::arg("slot"), py::arg("factor"))
      .def(
          "surprised",
          [](PythonPopulation& p, float threshold) {
            std::vector<uint32_t> slots;
            p->surprised(threshold, slots);
            return slots;
          },
          py::arg("threshold"))
      .def("sync", [](PythonPopulation& p) { check_or_raise(p->sync()); })
      .def("__len__", [](PythonPopulation& p) { return p->size(); })
      .def_property_readonly("steps", [](PythonPopulation& p) { return p->steps(); })
      .def_property_readonly("backend", [](PythonPopulation& p) { return p->backend(); });
}

}  // namespace skep::python
