#include "format/ingest/sample_encoder.h"

#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <string>

// clang-format off
#include <jpeglib.h>  // Needs size_t and FILE of the headers above.
// clang-format on

#include "format/error.h"

namespace imgpack::ingest {
namespace {

constexpr int kRestartMcus = 5;

struct JpegErrors {
  jpeg_error_mgr manager;
  std::jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  info->err->format_message(info, errors->text);
  std::longjmp(errors->jump, 1);
}

// EXIF with one entry: orientation 6, "turn clockwise by a quarter to show".
constexpr std::array<uint8_t, 32> kExif = {'E',  'x',  'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1,
                                           0x01, 0x12, 0,   3,   0, 0, 0,   1,   0, 6,  0, 0, 0, 0, 0, 0};

int components_of(SampleEncoding encoding) {
  return encoding == SampleEncoding::kGray ? 1 : encoding == SampleEncoding::kCmyk ? 4 : 3;
}

// Pixels as the encoder takes them: brightness, RGB, or inks as the light they let through.
std::vector<uint8_t> pixels_for(const SamplePicture& picture, SampleEncoding encoding) {
  if (components_of(encoding) == 3) return picture.rgb;
  std::vector<uint8_t> out;
  for (size_t i = 0; i < picture.rgb.size(); i += 3) {
    const int r = picture.rgb[i], g = picture.rgb[i + 1], b = picture.rgb[i + 2];
    if (encoding == SampleEncoding::kGray) {
      out.push_back(static_cast<uint8_t>((299 * r + 587 * g + 114 * b) / 1000));
      continue;
    }
    // Black takes what the three inks share; 255 stands for no ink.
    const int white = std::max({r, g, b, 1});
    for (int part : {r, g, b}) out.push_back(static_cast<uint8_t>(part * 255 / white));
    out.push_back(static_cast<uint8_t>(white));
  }
  return out;
}

void set_up(jpeg_compress_struct& info, const SampleEncoderOptions& options) {
  info.input_components = components_of(options.encoding);
  info.in_color_space = info.input_components == 1 ? JCS_GRAYSCALE : info.input_components == 4 ? JCS_CMYK : JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, options.quality, TRUE);
  if (info.input_components == 3) {
    info.comp_info[0].h_samp_factor = options.horizontal;
    info.comp_info[0].v_samp_factor = options.vertical;
  }
  if (options.encoding == SampleEncoding::kProgressive) jpeg_simple_progression(&info);
  if (options.encoding == SampleEncoding::kRestartMarkers) info.restart_interval = kRestartMcus;
}

std::vector<std::byte> encode_jpeg_sample(const SamplePicture& picture, const SampleEncoderOptions& options) {
  std::vector<uint8_t> pixels = pixels_for(picture, options.encoding);
  const size_t row_bytes = static_cast<size_t>(components_of(options.encoding)) * picture.width;
  jpeg_compress_struct info;
  JpegErrors errors;
  unsigned char* encoded = nullptr;
  unsigned long encoded_bytes = 0;
  info.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = on_error;
  jpeg_create_compress(&info);
  // Nothing with a destructor is made between here and the end of the encoding.
  if (setjmp(errors.jump) != 0) {
    jpeg_destroy_compress(&info);
    std::free(encoded);
    throw Error(ErrorKind::kInternal, std::string("sample could not be encoded: ") + errors.text);
  }
  jpeg_mem_dest(&info, &encoded, &encoded_bytes);
  info.image_width = picture.width;
  info.image_height = picture.height;
  set_up(info, options);
  jpeg_start_compress(&info, TRUE);
  if (options.encoding == SampleEncoding::kExifOrientation)
    jpeg_write_marker(&info, JPEG_APP0 + 1, kExif.data(), kExif.size());
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = pixels.data() + info.next_scanline * row_bytes;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  const auto* begin = reinterpret_cast<const std::byte*>(encoded);
  std::vector<std::byte> bytes(begin, begin + encoded_bytes);
  std::free(encoded);
  return bytes;
}

std::vector<std::byte> encode_png_sample(const SamplePicture& picture) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = picture.width;
  image.height = picture.height;
  image.format = PNG_FORMAT_RGB;
  std::vector<std::byte> bytes(PNG_IMAGE_PNG_SIZE_MAX(image));
  png_alloc_size_t size = bytes.size();
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, picture.rgb.data(), 0, nullptr) == 0) {
    throw Error(ErrorKind::kInternal, std::string("sample could not be encoded: ") + image.message);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace

std::vector<std::byte> encode_sample(const SamplePicture& picture, const SampleEncoderOptions& options) {
  return options.encoding == SampleEncoding::kPng ? encode_png_sample(picture) : encode_jpeg_sample(picture, options);
}

}  // namespace imgpack::ingest
