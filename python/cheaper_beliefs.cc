// Populations that take less memory for an error that each agent knows: rows in bytes or bfloat16, and sparse rows.

#include "mind/belief/compact_population.h"
#include "mind/belief/sparse_population.h"
#include "population.h"

namespace skep::python {
namespace {

// What the two have in common. P: CompactPopulation or SparsePopulation.
template <typename P, typename T>
class Cheaper {
 public:
  template <typename Options>
  Cheaper(const belief::GenerativeModel& model, const Options& options, int threads)
      : capacity_(options.capacity),
        states_(static_cast<size_t>(model.num_states.at(0))),
        pool_(kernel::ThreadPool::create(threads)),
        population_(value_or_raise(P::create(model, options, *pool_))),
        alive_(capacity_) {}

  std::vector<uint32_t> add(uint32_t count) {
    std::vector<uint32_t> slots;
    for (uint32_t i = 0; i < count; ++i) {
      slots.push_back(value_or_raise(population_->add()));
      alive_[slots.back()] = true;
    }
    return slots;
  }
  void remove(uint32_t slot) {
    at(slot);
    population_->remove(slot);
    alive_[slot] = false;
  }
  void step(const py::array& actions, const py::array& observations) {
    const auto taken = indices_of(actions, "actions"), seen = indices_of(observations, "observations");
    Status status;
    {
      py::gil_scoped_release release;
      status = population_->step(taken, seen);
    }
    check_or_raise(status);
  }
  // Unpacked, so a copy.
  py::array_t<T> belief(uint32_t slot) {
    py::array_t<T> row(static_cast<py::ssize_t>(states_));
    at(slot).belief(slot, {row.mutable_data(), states_});
    return row;
  }
  double error_bound(uint32_t slot) { return at(slot).error_bound(slot); }
  float free_energy(uint32_t slot) { return at(slot).free_energy(slot); }
  [[nodiscard]] int64_t bytes() const { return population_->bytes().count; }
  [[nodiscard]] size_t size() const { return population_->size(); }

 protected:
  P& at(uint32_t slot) {
    if (slot >= capacity_ || !alive_[slot]) throw py::index_error("no agent in that slot");
    return *population_;
  }

 private:
  uint32_t capacity_;
  size_t states_;
  std::unique_ptr<kernel::ThreadPool> pool_;
  std::unique_ptr<P> population_;
  std::vector<bool> alive_;
};

class Compact : public Cheaper<belief::CompactPopulation, float> {
 public:
  using Cheaper::Cheaper;
  std::string format(uint32_t slot) {
    switch (at(slot).format(slot)) {
      case belief::BeliefFormat::byte:
        return "byte";
      case belief::BeliefFormat::bfloat16:
        return "bfloat16";
      case belief::BeliefFormat::f32:
        return "float32";
      case belief::BeliefFormat::none:
        break;
    }
    return "none";
  }
};

class Sparse : public Cheaper<belief::SparsePopulation, double> {
 public:
  using Cheaper::Cheaper;
  size_t support(uint32_t slot) { return at(slot).support(slot); }
  bool dense(uint32_t slot) { return at(slot).dense(slot); }
};

template <typename Class, typename Python>
void define_common(Python& python) {
  python.def("add", &Class::add, py::arg("count") = 1, "The slots of the new agents.")
      .def("remove", &Class::remove, py::arg("slot"))
      .def("step", &Class::step, py::arg("actions"), py::arg("observations"),
           "By slot: the actions that lead here from the last step, and what is seen; NOT_OBSERVED: nothing.")
      .def("belief", &Class::belief, py::arg("slot"))
      .def("error_bound", &Class::error_bound, py::arg("slot"), "Largest L1 distance to the exact filter.")
      .def("free_energy", &Class::free_energy, py::arg("slot"))
      .def_property_readonly("bytes", &Class::bytes)
      .def("__len__", &Class::size);
}

belief::GenerativeModel filter_model(const py::object& A, const py::object& B, const py::object& D) {
  const py::none none;
  return model_from(A, B, none, D, none, none, none, none, 1, none, none, none);
}

}  // namespace

void define_cheaper_beliefs(py::module_& module) {
  py::class_<Compact> compact(module, "CompactPopulation",
                              "Filters whose rows are in bytes, bfloat16 or float32, whichever keeps the tolerance.");
  compact.def(py::init([](const py::object& A, const py::object& B, const py::object& D, uint32_t capacity,
                          double tolerance, int threads) {
                return Compact(filter_model(A, B, D),
                               belief::CompactOptions{.capacity = capacity, .tolerance = tolerance}, threads);
              }),
              py::arg("A"), py::arg("B"), py::arg("D") = py::none(), py::arg("capacity") = 1024,
              py::arg("tolerance") = 0.01, py::arg("threads") = 0);
  define_common<Compact>(compact);
  compact.def("format", &Compact::format, py::arg("slot"), "byte, bfloat16 or float32.");

  py::class_<Sparse> sparse(module, "SparsePopulation",
                            "Filters over large state spaces that keep the states they believe in.");
  sparse.def(py::init([](const py::object& A, const py::object& B, const py::object& D, uint32_t capacity, double prune,
                         double dense_share, int threads) {
               return Sparse(filter_model(A, B, D),
                             belief::SparseOptions{.capacity = capacity, .prune = prune, .dense_share = dense_share},
                             threads);
             }),
             py::arg("A"), py::arg("B"), py::arg("D") = py::none(), py::arg("capacity") = 1024, py::arg("prune") = 1e-6,
             py::arg("dense_share") = 0.25, py::arg("threads") = 0);
  define_common<Sparse>(sparse);
  sparse.def("support", &Sparse::support, py::arg("slot"), "States kept.")
      .def("dense", &Sparse::dense, py::arg("slot"));
}

}  // namespace skep::python
