#pragma once
// A population and the threads that step it, as Python holds them.

#include <memory>

#include "mind/belief/population.h"
#include "numpy_model.h"

namespace skep::python {

class PopulationHandle {
 public:
  PopulationHandle(belief::GenerativeModel model, belief::PopulationOptions options, int threads)
      : pool_(kernel::ThreadPool::create(threads)),
        population_(value_or_raise(belief::Population::create(std::move(model), options, *pool_))) {}
  PopulationHandle(belief::PopulationOptions options, int threads)
      : pool_(kernel::ThreadPool::create(threads)),
        population_(value_or_raise(belief::Population::open(options, *pool_))) {}

  belief::Population& operator*() { return *population_; }
  belief::Population* operator->() { return population_.get(); }

 protected:
  std::unique_ptr<kernel::ThreadPool> pool_;
  std::unique_ptr<belief::Population> population_;
};

// No conversion: an array of another type or stride would have to be copied, so it is refused instead.
inline std::span<const uint16_t> indices_of(const py::array& array, const char* name) {
  if (!py::isinstance<py::array_t<uint16_t, py::array::c_style>>(array))
    throw py::type_error(std::string(name) + ": a C-contiguous array of numpy.uint16 expected");
  return {static_cast<const uint16_t*>(array.data()), static_cast<size_t>(array.size())};
}

}  // namespace skep::python
