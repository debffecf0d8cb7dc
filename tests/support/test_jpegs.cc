#include "tests/support/test_jpegs.h"

#include <cstdio>
#include <cstdlib>

// clang-format off
#include <jpeglib.h>  // Needs size_t and FILE of the headers above.
// clang-format on

namespace imgpack::test {
namespace {

uint32_t next_random(uint32_t& state) {
  state = state * 1664525u + 1013904223u;
  return state >> 8;
}

// A triangle wave of the given period, 0 to 255.
int wave(uint32_t at, uint32_t period) {
  const uint32_t phase = at % period, half = period / 2;
  return static_cast<int>((phase < half ? phase : period - phase) * 255 / half);
}

constexpr uint8_t kExif[] = {'E',  'x',  'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0,
                             0x12, 0x01, 3,   0,   1, 0, 0,   0,   0,  0, 0, 0, 0, 0, 0, 0};
constexpr size_t kExifValueAt = 24;

}  // namespace

std::vector<uint8_t> test_picture(uint32_t width, uint32_t height, int channels, bool detail, uint32_t seed) {
  std::vector<uint8_t> pixels;
  pixels.reserve(static_cast<size_t>(width) * height * static_cast<size_t>(channels));
  uint32_t random = seed * 2654435761u + 1;
  for (uint32_t y = 0; y < height; y++) {
    for (uint32_t x = 0; x < width; x++) {
      const bool box = detail && (x / 19 + y / 13) % 4 == 0;
      for (int c = 0; c < channels; c++) {
        const uint32_t k = static_cast<uint32_t>(c);
        int value = (wave(x + 31 * k, 64 + 16 * k) + wave(y + 17 * k, 90 - 8 * k)) / 2;
        if (box) value = 255 - value;
        if (detail) value += static_cast<int>(next_random(random) % 41) - 20;
        pixels.push_back(static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value));
      }
    }
  }
  return pixels;
}

std::vector<std::byte> make_test_jpeg(const TestJpeg& what) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);  // A wrong request ends the test program with libjpeg's message.
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  const bool ink = what.colour == TestColour::kCmyk || what.colour == TestColour::kYcck;
  info.image_width = what.width;
  info.image_height = what.height;
  info.input_components = what.colour == TestColour::kGray ? 1 : ink ? 4 : 3;
  info.in_color_space = what.colour == TestColour::kGray ? JCS_GRAYSCALE : ink ? JCS_CMYK : JCS_RGB;
  jpeg_set_defaults(&info);
  if (what.colour == TestColour::kRgb) jpeg_set_colorspace(&info, JCS_RGB);
  if (what.colour == TestColour::kYcck) jpeg_set_colorspace(&info, JCS_YCCK);
  jpeg_set_quality(&info, what.quality, TRUE);
  info.dct_method = JDCT_ISLOW;
  for (int c = 0; c < info.num_components; c++) info.comp_info[c].h_samp_factor = info.comp_info[c].v_samp_factor = 1;
  info.comp_info[0].h_samp_factor = what.max_h;
  info.comp_info[0].v_samp_factor = what.max_v;
  info.restart_interval = static_cast<unsigned>(what.restart_interval);
  info.arith_code = what.arithmetic ? TRUE : FALSE;
  info.optimize_coding = what.optimise ? TRUE : FALSE;
  if (what.progressive) jpeg_simple_progression(&info);
  jpeg_scan_info scans[4];
  if (what.separate_scans) {
    for (int c = 0; c < info.num_components; c++) scans[c] = {1, {c, 0, 0, 0}, 0, 63, 0, 0};
    info.scan_info = scans;
    info.num_scans = info.num_components;
  }
  jpeg_start_compress(&info, TRUE);
  if (what.exif_orientation > 0) {
    std::vector<uint8_t> exif(kExif, kExif + sizeof kExif);
    exif[kExifValueAt] = static_cast<uint8_t>(what.exif_orientation);
    jpeg_write_marker(&info, JPEG_APP0 + 1, exif.data(), static_cast<unsigned>(exif.size()));
  }
  std::vector<uint8_t> pixels = test_picture(what.width, what.height, info.input_components, what.detail, what.seed);
  const size_t row_bytes = static_cast<size_t>(what.width) * static_cast<size_t>(info.input_components);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = pixels.data() + row_bytes * info.next_scanline;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  const std::byte* begin = reinterpret_cast<const std::byte*>(memory);
  std::vector<std::byte> out(begin, begin + size);
  std::free(memory);
  return out;
}

}  // namespace imgpack::test
