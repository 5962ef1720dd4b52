// Populations for numpy. Observations and actions go in as they are, beliefs, actions and free energies come out as
// views of the population's own memory: nothing is copied, and a step changes what the views show. Exceptions:
// `beliefs` of a population with a file or with learning, whose rows change places, is a copy, where `belief(slot)` is
// a view; and packed rows are copied either way.

#include "population.h"

#include "numpy_model.h"

namespace skep::python {
namespace {

using belief::Population;

class PythonPopulation : public PopulationHandle {
 public:
  using PopulationHandle::PopulationHandle;

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

  void learn(const py::array& observations) {
    const auto indices = indices_of(observations, "observations");
    Status status;
    {
      py::gil_scoped_release release;
      status = population_->learn(indices);
    }
    check_or_raise(status);
  }

  // One agent's row as it lies; another change of the population may put something else there.
  static py::array belief(const py::object& self, uint32_t slot) {
    auto& population = *self.cast<PythonPopulation&>().population_;
    if (slot >= population.capacity()) throw py::index_error("slot");
    if (population.options().rows != belief::RowStorage::full) {  // packed: there is no row to look at
      py::array_t<double> copy(static_cast<py::ssize_t>(population.belief_size()));
      population.copy_belief(slot, {copy.mutable_data(), population.belief_size()});
      return copy;
    }
    return population.options().precision == belief::Precision::f32 ? view(self, population.belief(slot))
                                                                    : view(self, population.belief_f64(slot));
  }

  // [capacity, states], a view of the rows where they lie evenly: they do in memory, unless learning needs two each or
  // they are packed.
  static py::array beliefs(const py::object& self) {
    auto& population = *self.cast<PythonPopulation&>().population_;
    const auto capacity = static_cast<py::ssize_t>(population.capacity());
    const auto states = static_cast<py::ssize_t>(population.belief_size());
    const auto& o = population.options();
    const auto rows = [&]<typename T>(std::span<const T> first, std::span<const T> second) {
      const auto size = static_cast<py::ssize_t>(sizeof(T));
      return read_only(py::array(py::dtype::of<T>(), {capacity, states}, {(second.data() - first.data()) * size, size},
                                 first.data(), self));
    };
    if (o.file.empty() && !o.learning && o.rows == belief::RowStorage::full) {
      const uint32_t second = capacity > 1 ? 1 : 0;
      return o.precision == belief::Precision::f32 ? rows(population.belief(0), population.belief(second))
                                                   : rows(population.belief_f64(0), population.belief_f64(second));
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

  // The ring of one agent, the newest update first. Copies: an entry is overwritten when its turn comes again.
  [[nodiscard]] py::list history(uint32_t slot) const {
    py::list entries;
    belief::HistoryEntry entry;
    for (uint32_t i = 0; population_->history(slot, i, entry); ++i) {
      const auto size = [](const auto& values) { return static_cast<py::ssize_t>(values.size()); };
      py::dict at;
      at["step"] = entry.step;
      at["observation"] = py::array_t<uint16_t>(size(entry.observation), entry.observation.data());
      at["action"] = entry.action;
      at["free_energy"] = entry.free_energy;
      if (!entry.belief.empty()) at["belief"] = py::array_t<float>(size(entry.belief), entry.belief.data());
      entries.append(at);
    }
    return entries;
  }

 private:
  static py::array read_only(py::array array) {
    py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    return array;
  }
};

belief::BackendKind backend_from(const std::string& name) {
  if (name == "auto") return belief::BackendKind::automatic;
  if (name == "joint") return belief::BackendKind::vector_joint;
  if (name == "mean-field") return belief::BackendKind::mean_field;
  throw py::value_error("backend: auto, joint or mean-field");
}

belief::ModelStorage own_storage_from(const std::string& name) {
  if (name == "full") return belief::ModelStorage::full;
  if (name == "bfloat16") return belief::ModelStorage::bfloat16;
  throw py::value_error("own_storage: full or bfloat16");
}

belief::RowStorage rows_from(const std::string& name) {
  if (name == "full") return belief::RowStorage::full;
  if (name == "compact") return belief::RowStorage::compact;
  if (name == "edge") return belief::RowStorage::edge;
  if (name == "sparse") return belief::RowStorage::sparse;
  throw py::value_error("rows: full, compact, edge or sparse");
}

}  // namespace

void define_population(py::module_& module) {
  py::class_<PopulationHandle>(module, "_PopulationHandle");
  py::class_<PythonPopulation, PopulationHandle>(
      module, "Population",
      "Agents that share a generative model, stepped in batch over all cores. Arrays are by slot.")
      .def(py::init([](const py::object& A, const py::object& B, const py::object& C, const py::object& D,
                       const py::object& E, const py::object& pA, const py::object& pB, uint32_t capacity,
                       int policy_len, const py::object& policies, double gamma, double alpha, bool use_utility,
                       bool use_states_info_gain, const std::string& action_selection, bool plan,
                       const std::string& backend, int64_t joint_limit, const std::string& dtype, bool own_models,
                       bool learning, double lr_pA, double lr_pB, double forgetting, uint32_t history,
                       bool history_beliefs, std::optional<double> tolerance, const std::string& file, uint64_t seed,
                       int threads, const py::object& A_factor_list, const py::object& B_factor_list,
                       const std::string& rows, double prune, bool own_habits, const std::string& own_storage) {
             belief::PopulationOptions o;
             o.capacity = capacity;
             o.gamma = gamma;
             o.alpha = alpha;
             o.use_utility = use_utility;
             o.use_states_info_gain = use_states_info_gain;
             o.action_selection = action_selection_from(action_selection);
             o.backend = backend_from(backend);
             o.joint_limit = joint_limit;
             o.own_models = own_models || learning;
             o.learning = learning;
             o.lr_pA = lr_pA;
             o.lr_pB = lr_pB;
             o.forgetting = forgetting;
             o.history = history;
             o.history_beliefs = history_beliefs;
             o.tolerance = tolerance;
             o.rows = rows_from(rows);
             o.prune = prune;
             o.own_habits = own_habits;
             o.own_storage = own_storage_from(own_storage);
             o.plan = plan;
             o.keep_policies = plan;
             if (dtype != "float32" && dtype != "float64") throw py::value_error("dtype: float32 or float64");
             o.precision = dtype == "float32" ? belief::Precision::f32 : belief::Precision::f64;
             o.file = file;
             o.seed = seed;
             const py::none none;
             return PythonPopulation(
                 model_from(A, B, C, D, E, pA, pB, none, policy_len, policies, A_factor_list, B_factor_list), o,
                 threads);
           }),
           py::arg("A"), py::arg("B"), py::arg("C") = py::none(), py::arg("D") = py::none(), py::arg("E") = py::none(),
           py::arg("pA") = py::none(), py::arg("pB") = py::none(), py::arg("capacity") = 1024,
           py::arg("policy_len") = 1, py::arg("policies") = py::none(), py::arg("gamma") = 16.0,
           py::arg("alpha") = 16.0, py::arg("use_utility") = true, py::arg("use_states_info_gain") = true,
           py::arg("action_selection") = "deterministic", py::arg("plan") = true, py::arg("backend") = "auto",
           py::arg("joint_limit") = belief::PopulationOptions().joint_limit, py::arg("dtype") = "float32",
           py::arg("own_models") = false, py::arg("learning") = false, py::arg("lr_pA") = 1.0, py::arg("lr_pB") = 1.0,
           py::arg("forgetting") = 0.0, py::arg("history") = 0, py::arg("history_beliefs") = false,
           py::arg("tolerance") = py::none(), py::arg("file") = "", py::arg("seed") = 0, py::arg("threads") = 0,
           py::arg("A_factor_list") = py::none(), py::arg("B_factor_list") = py::none(), py::arg("rows") = "full",
           py::arg("prune") = belief::PopulationOptions().prune, py::arg("own_habits") = false, py::arg("own_storage") = "full")
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
      .def(
          "set_belief",
          [](PythonPopulation& p, uint32_t slot, const Doubles& belief) {
            check_or_raise(p->set_belief(slot, {belief.data(), static_cast<size_t>(belief.size())}));
          },
          py::arg("slot"), py::arg("belief"))
      .def(
          "set_start",
          [](PythonPopulation& p, uint32_t slot, const std::vector<std::vector<double>>& D) {
            check_or_raise(p->set_start(slot, D));
          },
          py::arg("slot"), py::arg("D"), "One agent's own D, a distribution per factor; before its first step.")
      .def(
          "set_habits",
          [](PythonPopulation& p, uint32_t slot, const Doubles& E) {
            check_or_raise(p->set_habits(slot, {E.data(), static_cast<size_t>(E.size())}));
          },
          py::arg("slot"), py::arg("E"), "One agent's own E, over policies; needs own_habits=True.")
      .def("error_bound", [](PythonPopulation& p, uint32_t slot) {
        if (slot >= p->capacity()) throw py::index_error("slot");
        return p->error_bound(slot);
      })
      .def("learn", &PythonPopulation::learn, py::arg("observations"),
           "Dirichlet learning of every agent's own A and B from its last two beliefs; needs learning=True.")
      .def(
          "set_own_model",
          [](PythonPopulation& p, uint32_t slot, const py::object& A, const py::object& B) {
            check_or_raise(p->set_own_model(slot, to_tensors(A), to_tensors(B)));
          },
          py::arg("slot"), py::arg("A"), py::arg("B"), "Another A and B for one agent; needs own_models=True.")
      .def("history", &PythonPopulation::history, py::arg("slot"),
           "What the agent's ring holds, the newest update first: step, observation, action, free_energy, belief.")
      .def("belief", &PythonPopulation::belief, py::arg("slot"), "A view of one agent's row, until the next change.")
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
