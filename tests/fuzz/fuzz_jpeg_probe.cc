// Hostile bytes through the header parsers: probe, baseline header and EXIF.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "format/jpeg/baseline_header.h"
#include "format/jpeg/exif_orientation.h"
#include "format/jpeg/jpeg_probe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace imgpack::jpeg;
  const std::vector<uint8_t> exact(data, data + size);
  const auto bytes = std::as_bytes(std::span(exact));
  std::string why;
  const auto info = probe_jpeg(bytes, &why);
  if (info.has_value() != why.empty()) std::abort();  // A refusal says why, a result does not.
  static const auto header = std::make_unique<BaselineHeader>();
  if (parse_baseline_header(bytes, *header) == Coverage::kCovered) {
    if (!info || info->width != header->width || info->height != header->height || !info->baseline) std::abort();
  }
  const int orientation = exif_orientation(exact);
  if (orientation < 0 || orientation > 8) std::abort();
  return 0;
}
