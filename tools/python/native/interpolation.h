// Names of resampling filters, as the run configuration has them.
#pragma once

#include <string>

#include "format/error.h"
#include "format/jpeg/image_decoder.h"

namespace imgpack::python {

// Throws Error(kUsage).
inline jpeg::Filter parse_filter(const std::string& name) {
  if (name == "bilinear") return jpeg::Filter::kBilinear;
  if (name == "bicubic") return jpeg::Filter::kBicubic;
  throw Error(ErrorKind::kUsage, "interpolation: expected bilinear or bicubic, found '" + name + "'");
}

}  // namespace imgpack::python
