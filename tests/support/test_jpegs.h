// JPEG streams made on the spot, the same bytes on every machine.
//
//   make_test_jpeg({.width = 321, .height = 243, .max_h = 2, .max_v = 2, .progressive = true})
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace imgpack::test {

enum class TestColour { kGray, kYCbCr, kRgb, kCmyk, kYcck };

struct TestJpeg {
  uint32_t width = 64;
  uint32_t height = 48;
  int max_h = 1, max_v = 1;  // Sampling factors of the first component; the others have 1.
  TestColour colour = TestColour::kYCbCr;
  int quality = 85;
  bool progressive = false;
  bool arithmetic = false;
  bool optimise = false;
  bool separate_scans = false;  // Sequential, one scan per component.
  int restart_interval = 0;     // MCUs.
  int exif_orientation = 0;     // 1 to 8 writes an EXIF segment.
  bool detail = true;           // Edges and noise; otherwise a smooth picture of few coefficients.
  uint32_t seed = 1;
};

std::vector<std::byte> make_test_jpeg(const TestJpeg& what);

// The picture that make_test_jpeg encodes, width x height x 3 (four inks for CMYK: x 4).
std::vector<uint8_t> test_picture(uint32_t width, uint32_t height, int channels, bool detail, uint32_t seed);

}  // namespace imgpack::test
