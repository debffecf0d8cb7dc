// imgpack._native: the compiled half of the Python package. What people import is in tools/python/imgpack.
#include <nanobind/nanobind.h>

#include "tools/python/native/dataset_binding.h"
#include "tools/python/native/exceptions.h"
#include "tools/python/native/pipeline_binding.h"

NB_MODULE(_native, module) {
  // A dataset or tensor that a program keeps to its end is no leak.
  nanobind::set_leak_warnings(false);
  module.doc() = "The compiled half of imgpack: see the package itself.";
  module.def("version", [] { return IMGPACK_VERSION; });
  imgpack::python::translate_errors();
  imgpack::python::bind_dataset(module);
  imgpack::python::bind_pipeline(module);
}
