#include "format/ingest/jpeg_writer.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>

#include "format/error.h"
#include "format/jpeg/libjpeg_session.h"
#include "format/jpeg/marker_walk.h"

namespace imgpack::ingest {
namespace {

constexpr size_t kFirstBufferBytes = 64 << 10;

// libjpeg's output into a growing vector.
struct VectorDestination {
  jpeg_destination_mgr manager{};  // First: libjpeg hands its address back.
  jpeg::ErrorTrap* trap = nullptr;
  std::vector<std::byte>* out = nullptr;

  static VectorDestination& of(j_compress_ptr info) { return *reinterpret_cast<VectorDestination*>(info->dest); }

  void use_from(size_t begin) {
    manager.next_output_byte = reinterpret_cast<JOCTET*>(out->data()) + begin;
    manager.free_in_buffer = out->size() - begin;
  }

  void grow(size_t size) {
    const size_t before = out->size();
    bool fits = true;
    try {
      out->resize(size);
    } catch (const std::bad_alloc&) {
      fits = false;  // The jump must not leave a handler.
    }
    if (!fits) trap->give_up("out of memory");
    use_from(before);
  }

  static void on_init(j_compress_ptr info) { of(info).grow(kFirstBufferBytes); }
  static boolean on_full(j_compress_ptr info) {
    of(info).grow(of(info).out->size() * 2);
    return TRUE;
  }
  static void on_end(j_compress_ptr info) {
    VectorDestination& self = of(info);
    self.out->resize(self.out->size() - self.manager.free_in_buffer);
  }
};

class Compressor {
 public:
  Compressor(jpeg::ErrorTrap& trap, std::vector<std::byte>& out) : trap_(trap) {
    out.clear();
    destination_.manager.init_destination = VectorDestination::on_init;
    destination_.manager.empty_output_buffer = VectorDestination::on_full;
    destination_.manager.term_destination = VectorDestination::on_end;
    destination_.trap = &trap;
    destination_.out = &out;
  }
  ~Compressor() {
    if (created_) jpeg_destroy_compress(&info_);
  }
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  void create() {  // Inside ErrorTrap::run.
    info_.err = trap_.manager();
    info_.client_data = &trap_;
    jpeg_create_compress(&info_);
    created_ = true;
    info_.dest = &destination_.manager;
  }

  jpeg_compress_struct& info() { return info_; }

 private:
  jpeg::ErrorTrap& trap_;
  jpeg_compress_struct info_{};
  VectorDestination destination_;
  bool created_ = false;
};

void set_sampling(jpeg_compress_struct& info, Subsampling subsampling) {
  info.comp_info[0].h_samp_factor = subsampling == Subsampling::k444 ? 1 : 2;
  info.comp_info[0].v_samp_factor = subsampling == Subsampling::k420 ? 2 : 1;
}

bool is_jfif(const jpeg_marker_struct& m) {
  return m.marker == JPEG_APP0 && m.data_length >= 5 && std::memcmp(m.data, "JFIF", 5) == 0;
}

bool is_adobe(const jpeg_marker_struct& m) {
  return m.marker == JPEG_APP0 + 14 && m.data_length >= 5 && std::memcmp(m.data, "Adobe", 5) == 0;
}

// A colour profile: what the numbers of the pixels mean, which is no metadata to strip.
constexpr std::string_view kIccName{"ICC_PROFILE\0", 12};

bool is_icc(const jpeg_marker_struct& m) {
  return m.marker == JPEG_APP0 + 2 && m.data_length >= kIccName.size() &&
         std::memcmp(m.data, kIccName.data(), kIccName.size()) == 0;
}

}  // namespace

std::vector<std::byte> encode_jpeg(const PixelImage& image, int quality, Subsampling subsampling) {
  std::vector<std::byte> out;
  jpeg::ErrorTrap trap;
  Compressor compressor(trap, out);
  const bool done = trap.run([&] {
    compressor.create();
    jpeg_compress_struct& info = compressor.info();
    info.image_width = image.width;
    info.image_height = image.height;
    info.input_components = image.channels;
    info.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    info.dct_method = JDCT_ISLOW;
    info.optimize_coding = TRUE;
    if (image.channels == 3) set_sampling(info, subsampling);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
      JSAMPROW row = const_cast<JSAMPROW>(image.row(info.next_scanline));  // libjpeg only reads it.
      jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
  });
  if (!done) throw Error(ErrorKind::kInternal, "JPEG encoder failed: " + trap.message());
  return out;
}

bool transcode_to_baseline(std::span<const std::byte> bytes, bool keep_metadata, std::vector<std::byte>& out,
                           std::string* why) {
  jpeg::Decompressor source;
  const auto refuse = [&] {
    *why = source.message();
    return false;
  };
  if (!source.open(bytes, jpeg::SaveMarkers::kAll)) return refuse();
  Compressor compressor(source.trap(), out);
  const bool done = source.run([&] {
    jvirt_barray_ptr* coefficients = jpeg_read_coefficients(&source.info());
    compressor.create();
    jpeg_compress_struct& info = compressor.info();
    jpeg_copy_critical_parameters(&source.info(), &info);
    info.optimize_coding = TRUE;
    jpeg_write_coefficients(&info, coefficients);
    for (jpeg_saved_marker_ptr m = source.info().marker_list; m != nullptr; m = m->next) {
      // libjpeg writes these two itself, to match the colour space.
      if (!is_jfif(*m) && !is_adobe(*m) && (keep_metadata || is_icc(*m)))
        jpeg_write_marker(&info, m->marker, m->data, m->data_length);
    }
    jpeg_finish_compress(&info);
    jpeg_finish_decompress(&source.info());
  });
  return done || refuse();
}

std::vector<std::byte> strip_metadata(std::span<const std::byte> bytes) {
  std::vector<std::byte> out;
  out.reserve(bytes.size());
  const auto copy = [&](size_t begin, size_t end) {
    out.insert(out.end(), bytes.begin() + static_cast<ptrdiff_t>(begin), bytes.begin() + static_cast<ptrdiff_t>(end));
  };
  jpeg::MarkerWalk walk(bytes);
  while (walk.next() == jpeg::MarkerWalk::Step::kSegment) {
    const jpeg::Segment& segment = walk.segment();
    const std::span<const uint8_t> p = segment.payload;
    const bool application = segment.marker >= jpeg::kApp0 && segment.marker <= jpeg::kApp15;
    const auto is = [&](uint8_t marker, std::string_view name) {
      return segment.marker == marker && p.size() >= name.size() &&
             std::memcmp(p.data(), name.data(), name.size()) == 0;
    };
    const bool needed = is(jpeg::kApp0, "JFIF") || is(jpeg::kApp14, "Adobe") || is(jpeg::kApp0 + 2, kIccName);
    if ((!application && segment.marker != jpeg::kCom) || needed) copy(segment.begin, segment.end);
    if (segment.marker == jpeg::kEoi) break;
    if (segment.marker == jpeg::kSos) {
      const size_t begin = walk.offset();
      walk.skip_entropy_coded();
      copy(begin, walk.offset());
    }
  }
  return out;
}

}  // namespace imgpack::ingest
