// PipelineOptions, Pipeline and Batch in Python: what imgpack.DataLoader is made of.
#pragma once

#include <nanobind/nanobind.h>

namespace imgpack::python {

void bind_pipeline(nanobind::module_& module);

}  // namespace imgpack::python
