#include <cstring>

#include "format/ingest/pixel_image.h"
#include "format/jpeg/libjpeg_session.h"

namespace imgpack::ingest {
namespace {

// Pillow's rounding of a * b / 255.
int multiply_255(int a, int b) {
  const int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

// Ink as Adobe stores it, 255 for none, to light.
void mix_ink(const uint8_t* cmyk, uint32_t pixels, uint8_t* rgb) {
  for (uint32_t x = 0; x < pixels; x++, cmyk += 4, rgb += 3) {
    const int light = cmyk[3];
    for (int c = 0; c < 3; c++) rgb[c] = static_cast<uint8_t>(light - multiply_255(255 - cmyk[c], light));
  }
}

}  // namespace

PixelsOrReason read_jpeg(std::span<const std::byte> bytes) {
  jpeg::Decompressor decompressor;
  const auto damaged = [&] { return Quarantine{QuarantineReason::kDamaged, "JPEG: " + decompressor.message()}; };
  if (!decompressor.open(bytes)) return damaged();
  jpeg_decompress_struct& info = decompressor.info();
  const bool gray = info.jpeg_color_space == JCS_GRAYSCALE;
  const bool cmyk = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
  PixelImage image = make_pixel_image(info.image_width, info.image_height, gray ? 1 : 3);
  std::vector<uint8_t> ink(cmyk ? 4 * static_cast<size_t>(image.width) : 0);
  const bool done = decompressor.run([&] {
    info.out_color_space = gray ? JCS_GRAYSCALE : cmyk ? JCS_CMYK : JCS_RGB;
    info.dct_method = JDCT_ISLOW;
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
      uint8_t* out = image.row(info.output_scanline);
      JSAMPROW row = cmyk ? ink.data() : out;
      jpeg_read_scanlines(&info, &row, 1);
      if (cmyk) mix_ink(ink.data(), image.width, out);
    }
    jpeg_finish_decompress(&info);
  });
  if (!done) return damaged();
  return image;
}

std::string check_decodes(std::span<const std::byte> bytes) {
  jpeg::Decompressor decompressor;
  if (!decompressor.open(bytes)) return decompressor.message();
  jpeg_decompress_struct& info = decompressor.info();
  std::vector<uint8_t> row_bytes;
  const bool done = decompressor.run([&] {
    // The stored planes as they are: converting colours proves nothing.
    info.out_color_space = info.jpeg_color_space;
    info.do_fancy_upsampling = FALSE;
    jpeg_start_decompress(&info);
  });
  if (!done) return decompressor.message();
  row_bytes.resize(static_cast<size_t>(info.output_width) * static_cast<size_t>(info.output_components));
  const bool read = decompressor.run([&] {
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = row_bytes.data();
      jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
  });
  return read ? std::string() : decompressor.message();
}

}  // namespace imgpack::ingest
