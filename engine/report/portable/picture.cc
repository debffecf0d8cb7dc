#include "engine/report/portable/picture.h"

#include <png.h>

#include <cstdlib>

#include "format/error.h"
#include "format/jpeg/libjpeg_session.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

void require_size(uint32_t width, uint32_t height) {
  if (width >= 1 && height >= 1 && width <= kMaxPictureSide && height <= kMaxPictureSide) return;
  throw Error(ErrorKind::kUsage, "a picture: expected 1 to " + std::to_string(kMaxPictureSide) +
                                     " pixels a side, found " + std::to_string(width) + " x " + std::to_string(height));
}

void require_whole(const Picture& picture) {
  require_size(picture.width, picture.height);
  const size_t expected = size_t{picture.width} * picture.height * 3;
  if (picture.rgb.size() == expected) return;
  throw Error(ErrorKind::kUsage, "a picture: expected " + std::to_string(expected) + " bytes of pixels, found " +
                                     std::to_string(picture.rgb.size()));
}

// What libjpeg allocates for its output and its own state.
struct Compression {
  jpeg_compress_struct info{};
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  bool created = false;

  Compression() = default;
  Compression(const Compression&) = delete;
  Compression& operator=(const Compression&) = delete;
  ~Compression() {
    if (created) jpeg_destroy_compress(&info);
    std::free(bytes);
  }
};

}  // namespace

Picture make_picture(uint32_t width, uint32_t height) {
  require_size(width, height);
  return {width, height, std::vector<uint8_t>(size_t{width} * height * 3)};
}

std::string jpeg_file(const Picture& picture, int quality) {
  require_whole(picture);
  imgpack::jpeg::ErrorTrap trap;
  Compression out;
  const bool done = trap.run([&] {
    jpeg_compress_struct& info = out.info;
    info.err = trap.manager();
    info.client_data = &trap;
    jpeg_create_compress(&info);
    out.created = true;
    jpeg_mem_dest(&info, &out.bytes, &out.size);
    info.image_width = picture.width;
    info.image_height = picture.height;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, /*force_baseline=*/TRUE);
    info.optimize_coding = TRUE;
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
      auto* row = const_cast<JSAMPLE*>(picture.rgb.data() + size_t{info.next_scanline} * picture.width * 3);
      jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
  });
  if (!done) throw Error(ErrorKind::kInternal, "libjpeg could not write a picture: " + trap.message());
  return {reinterpret_cast<const char*>(out.bytes), out.size};
}

std::string png_file(const Picture& picture) {
  require_whole(picture);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = picture.width;
  image.height = picture.height;
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string file(bytes, '\0');
  if (png_image_write_to_memory(&image, file.data(), &bytes, /*convert_to_8_bit=*/0, picture.rgb.data(),
                                /*row_stride=*/0, /*colormap=*/nullptr) == 0)
    throw Error(ErrorKind::kInternal, std::string("libpng could not write a picture: ") + image.message);
  file.resize(bytes);
  return file;
}

}  // namespace imgtrain
