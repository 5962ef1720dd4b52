// pymdp's Agent, by its names. Beliefs come back as fresh small arrays, as pymdp's do, so that keeping qs over a step
// keeps the old beliefs.

#include "mind/belief/agent.h"

#include "numpy_model.h"

namespace skep::python {
namespace {

using belief::Agent;
using belief::AgentOptions;

class PythonAgent {
 public:
  PythonAgent(belief::GenerativeModel model, const AgentOptions& options)
      : agent_(value_or_raise(Agent::create(std::move(model), options))) {}

  py::object infer_states(const std::vector<int>& observation) {
    check_or_raise(agent_.infer_states(observation));
    return qs();
  }

  // A list per factor; with marginal message passing a list per policy and time of those, as pymdp nests them.
  [[nodiscard]] py::object qs() const {
    py::list beliefs;
    if (agent_.options().inference != belief::Inference::marginal_messages) {
      for (int f = 0; f < factors(); ++f) beliefs.append(to_numpy(agent_.belief(f)));
      return beliefs;
    }
    for (size_t p = 0; p < agent_.policies().size(); ++p) {
      py::list times;
      for (int t = 0; t < agent_.window_length(); ++t) {
        py::list at;
        for (int f = 0; f < factors(); ++f) at.append(to_numpy(agent_.window_belief(static_cast<int>(p), t, f)));
        times.append(at);
      }
      beliefs.append(times);
    }
    return beliefs;
  }

  py::tuple infer_policies() {
    agent_.infer_policies();
    return py::make_tuple(to_numpy(agent_.policy_terms().q_pi), to_numpy(agent_.policy_terms().neg_efe));
  }

  py::array_t<int> sample_action() {
    if (agent_.policy_terms().q_pi.empty()) throw py::value_error("infer_policies comes before sample_action");
    agent_.sample_action();
    return actions();
  }

  [[nodiscard]] py::array_t<int> actions() const {
    return py::array_t<int>(static_cast<py::ssize_t>(agent_.action().size()), agent_.action().data());
  }
  void set_action(const std::vector<int>& action) {
    if (action.size() != agent_.model().num_controls.size())
      throw py::value_error("action: one entry per factor expected");
    for (size_t f = 0; f < action.size(); ++f) {
      if (action[f] < 0 || action[f] >= agent_.model().num_controls[f]) throw py::value_error("action: out of range");
    }
    agent_.set_action(action);
  }

  py::list update_A(const std::vector<int>& observation) {
    check_or_raise(agent_.update_A(observation));
    return to_numpy(agent_.model().pA);
  }
  py::list update_B(const py::object&) {
    check_or_raise(agent_.update_B());
    return to_numpy(agent_.model().pB);
  }
  py::list update_D(const py::object&) {
    check_or_raise(agent_.update_D());
    return to_numpy(agent_.model().pD);
  }
  py::array_t<double> update_E() {
    check_or_raise(agent_.update_E());
    return to_numpy(agent_.model().E);
  }
  void reset() { agent_.reset(); }

  [[nodiscard]] const Agent& agent() const { return agent_; }

 private:
  [[nodiscard]] int factors() const { return agent_.model().factors(); }
  Agent agent_;
};

}  // namespace

void define_agent(py::module_& module) {
  py::class_<PythonAgent>(module, "Agent",
                          "One active-inference agent, by pymdp's names; G is the negative expected free energy.")
      .def(
          py::init([](const py::object& A, const py::object& B, const py::object& C, const py::object& D,
                      const py::object& E, const py::object& pA, const py::object& pB, const py::object& pD,
                      int policy_len, const py::object& policies, double gamma, double alpha, bool use_utility,
                      bool use_states_info_gain, bool use_param_info_gain, const std::string& action_selection,
                      const std::string& inference_algo, int inference_horizon, double lr_pA, double lr_pB,
                      double lr_pD, double lr_pE, double forgetting, bool adaptive_gamma, bool sophisticated,
                      int si_horizon, const py::object& A_factor_list, const py::object& B_factor_list, uint64_t seed) {
            AgentOptions o;
            o.gamma = gamma;
            o.alpha = alpha;
            o.use_utility = use_utility;
            o.use_states_info_gain = use_states_info_gain;
            o.use_param_info_gain = use_param_info_gain;
            o.action_selection = action_selection_from(action_selection);
            if (inference_algo == "VANILLA") {
              o.inference = belief::Inference::mean_field;
            } else if (inference_algo == "MMP") {
              o.inference = belief::Inference::marginal_messages;
            } else if (inference_algo == "JOINT") {
              o.inference = belief::Inference::joint;
            } else {
              throw py::value_error("inference_algo: VANILLA, MMP or JOINT");
            }
            o.inference_horizon = inference_horizon;
            o.lr_pA = lr_pA;
            o.lr_pB = lr_pB;
            o.lr_pD = lr_pD;
            o.lr_pE = lr_pE;
            o.forgetting = forgetting;
            o.adaptive_gamma = adaptive_gamma;
            o.sophisticated = sophisticated;
            o.si_horizon = si_horizon;
            o.seed = seed;
            return PythonAgent(
                model_from(A, B, C, D, E, pA, pB, pD, policy_len, policies, A_factor_list, B_factor_list), o);
          }),
          py::arg("A"), py::arg("B"), py::arg("C") = py::none(), py::arg("D") = py::none(), py::arg("E") = py::none(),
          py::arg("pA") = py::none(), py::arg("pB") = py::none(), py::arg("pD") = py::none(), py::arg("policy_len") = 1,
          py::arg("policies") = py::none(), py::arg("gamma") = 16.0, py::arg("alpha") = 16.0,
          py::arg("use_utility") = true, py::arg("use_states_info_gain") = true, py::arg("use_param_info_gain") = false,
          py::arg("action_selection") = "deterministic", py::arg("inference_algo") = "VANILLA",
          py::arg("inference_horizon") = 1, py::arg("lr_pA") = 1.0, py::arg("lr_pB") = 1.0, py::arg("lr_pD") = 1.0,
          py::arg("lr_pE") = 1.0, py::arg("forgetting") = 0.0, py::arg("adaptive_gamma") = false,
          py::arg("sophisticated") = false, py::arg("si_horizon") = 3, py::arg("A_factor_list") = py::none(),
          py::arg("B_factor_list") = py::none(), py::arg("seed") = 0)
      .def("infer_states", &PythonAgent::infer_states, py::arg("observation"))
      .def("infer_policies", &PythonAgent::infer_policies)
      .def("sample_action", &PythonAgent::sample_action)
      .def("update_A", &PythonAgent::update_A, py::arg("obs"))
      .def("update_B", &PythonAgent::update_B, py::arg("qs_prev") = py::none(), "The agent remembers qs_prev itself.")
      .def("update_D", &PythonAgent::update_D, py::arg("qs_t0") = py::none())
      .def("update_E", &PythonAgent::update_E, "Habits grow by q_pi; returns E, the prior over policies.")
      .def("reset", &PythonAgent::reset)
      .def_property("action", &PythonAgent::actions, &PythonAgent::set_action)
      .def_property_readonly("qs", &PythonAgent::qs)
      .def_property_readonly("q_pi", [](const PythonAgent& a) { return to_numpy(a.agent().policy_terms().q_pi); })
      .def_property_readonly("G", [](const PythonAgent& a) { return to_numpy(a.agent().policy_terms().neg_efe); })
      .def_property_readonly("F",
                             [](const PythonAgent& a) -> py::object {
                               if (a.agent().options().inference == belief::Inference::marginal_messages)
                                 return to_numpy(a.agent().policy_free_energy());
                               return py::float_(a.agent().free_energy().F);
                             })
      .def_property_readonly("A", [](const PythonAgent& a) { return to_numpy(a.agent().model().A); })
      .def_property_readonly("B", [](const PythonAgent& a) { return to_numpy(a.agent().model().B); })
      .def_property_readonly("D", [](const PythonAgent& a) { return to_numpy(a.agent().model().D); })
      .def_property_readonly("E", [](const PythonAgent& a) { return to_numpy(a.agent().model().E); })
      .def_property_readonly("gamma", [](const PythonAgent& a) { return a.agent().gamma(); });
}

}  // namespace skep::python
