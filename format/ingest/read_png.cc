#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string>

#include "format/ingest/pixel_image.h"

namespace imgpack::ingest {
namespace {

constexpr png_uint_32 kMaxSide = 65'535;         // Pixels; a JPEG has no more.
constexpr png_alloc_size_t kMaxChunk = 8 << 20;  // Bytes of one ancillary chunk, decompressed.
constexpr png_uint_32 kMaxCachedChunks = 128;

struct Input {
  std::span<const std::byte> bytes;
  size_t at = 0;
  char error[128] = {};
};

void on_read(png_structp png, png_bytep out, png_size_t n) {
  Input& input = *static_cast<Input*>(png_get_io_ptr(png));
  if (n > input.bytes.size() - input.at) png_error(png, "it is cut off");
  std::memcpy(out, input.bytes.data() + input.at, n);
  input.at += n;
}

void on_error(png_structp png, png_const_charp text) {
  Input& input = *static_cast<Input*>(png_get_error_ptr(png));
  std::snprintf(input.error, sizeof input.error, "%s", text);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

// One PNG being read; steps run under setjmp and own nothing.
class PngReader {
 public:
  explicit PngReader(std::span<const std::byte> bytes) : input_{bytes} {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &input_, on_error, on_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
  }
  ~PngReader() {
    if (png_ != nullptr) png_destroy_read_struct(&png_, &info_, nullptr);
  }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  __attribute__((noinline)) bool read_header() {
    if (info_ == nullptr) return false;
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, &input_, on_read);
    png_set_user_limits(png_, kMaxSide, kMaxSide);
    png_set_chunk_malloc_max(png_, kMaxChunk);
    png_set_chunk_cache_max(png_, kMaxCachedChunks);
    png_read_info(png_, info_);
    // Whatever is stored becomes 8-bit gray or RGB. Gamma is left alone; of 16 bits the upper 8 stay, as in Pillow.
    png_set_expand(png_);
    png_set_strip_16(png_);
    png_set_strip_alpha(png_);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  __attribute__((noinline)) bool read_rows(PixelImage& image) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    for (int pass = 0; pass < passes_; pass++) {
      for (uint32_t y = 0; y < image.height; y++) png_read_row(png_, image.row(y), nullptr);
    }
    png_read_end(png_, nullptr);
    return true;
  }

  uint32_t width() const { return png_get_image_width(png_, info_); }
  uint32_t height() const { return png_get_image_height(png_, info_); }
  int channels() const { return png_get_channels(png_, info_); }
  size_t row_bytes() const { return png_get_rowbytes(png_, info_); }
  std::string error() const { return input_.error[0] != 0 ? input_.error : "out of memory"; }

 private:
  Input input_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  int passes_ = 1;
};

Quarantine damaged(const PngReader& reader) {
  return {QuarantineReason::kDamaged, "PNG: " + reader.error()};
}

}  // namespace

PixelsOrReason read_png(std::span<const std::byte> bytes) {
  PngReader reader(bytes);
  if (!reader.read_header()) return damaged(reader);
  if (too_many_pixels(reader.width(), reader.height())) return too_large(reader.width(), reader.height());
  PixelImage image = make_pixel_image(reader.width(), reader.height(), reader.channels());
  if ((image.channels != 1 && image.channels != 3) || reader.row_bytes() != image.row_bytes())
    return Quarantine{QuarantineReason::kUnsupported, "PNG: unexpected pixel layout"};
  if (!reader.read_rows(image)) return damaged(reader);
  return image;
}

}  // namespace imgpack::ingest
