// Encodes sample pictures, ordinary ones and odd ones of each kind that ImageNet is known to hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "format/ingest/sample_picture.h"

namespace imgpack::ingest {

enum class SampleEncoding {
  kJpeg,             // Baseline, YCbCr.
  kGray,             // One component.
  kCmyk,             // Four inks, inverted as Adobe stores them.
  kPng,              // No JPEG at all, whatever its name says.
  kExifOrientation,  // Asks to be turned by 90 degrees.
  kProgressive,
  kRestartMarkers,  // Every 5 MCUs.
};

struct SampleEncoderOptions {
  SampleEncoding encoding = SampleEncoding::kJpeg;
  int quality = 90;
  int horizontal = 1, vertical = 1;  // Sampling factors of luma: 2, 2 is 4:2:0.
};

// Throws Error(kInternal) if the codec refuses.
std::vector<std::byte> encode_sample(const SamplePicture& picture, const SampleEncoderOptions& options);

}  // namespace imgpack::ingest
