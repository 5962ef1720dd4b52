#include "mind/belief/population.h"
#include "numpy_model.h"

PYBIND11_MODULE(skep_belief, module) {
  module.doc() =
      "Active inference: pymdp's Agent by its names, and populations of thousands of agents stepped in batch.";
  module.attr("NOT_OBSERVED") = skep::belief::kNotObserved;
  skep::python::define_agent(module);
  skep::python::define_population(module);
  skep::python::define_collective(module);
  skep::python::define_cheaper_beliefs(module);
}
