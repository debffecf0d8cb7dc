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
    // The fast decoder looks no further than the first scan: behind it the whole-file probe may find more to refuse.
    const auto first = probe_jpeg(bytes, nullptr, ProbeDepth::kFirstScan);
    if (!first || first->width != header->width || first->height != header->height || !first->baseline) std::abort();
    if (info && (info->width != first->width || info->height != first->height)) std::abort();
  }
  const int orientation = exif_orientation(exact);
  if (orientation < 0 || orientation > 8) std::abort();
  return 0;
}
