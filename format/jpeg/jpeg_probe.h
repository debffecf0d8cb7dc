// What a JPEG's markers say of it, without decoding a pixel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace imgpack::jpeg {

enum class ColourModel { kGray, kYCbCr, kRgb, kCmyk, kYcck };

struct JpegInfo {
  uint32_t width = 0;   // Pixels.
  uint32_t height = 0;
  int components = 0;
  int precision = 8;    // Bits per sample.
  bool baseline = false;     // SOF0 or SOF1 with Huffman coding, 8 bits.
  bool progressive = false;  // SOF2.
  bool arithmetic = false;
  int restart_interval = 0;  // MCUs, 0 for none.
  int max_h = 1, max_v = 1;  // Sampling factors of the largest component.
  int h[4] = {}, v[4] = {};
  ColourModel colour = ColourModel::kYCbCr;
  int exif_orientation = 0;  // 1 to 8, 0 where there is none.
  bool ends_with_eoi = false;
};

// nullopt: not a JPEG, or its header is damaged; `*why` then says what is wrong.
std::optional<JpegInfo> probe_jpeg(std::span<const std::byte> bytes, std::string* why = nullptr);

}  // namespace imgpack::jpeg
