#include "format/jpeg/libjpeg_session.h"

// clang-format off
#include <jerror.h>  // Needs jpeglib.h.
// clang-format on

namespace imgpack::jpeg {
namespace {

// Each Huffman-coded block takes at least two bits in a sequential stream, and at least one in a progressive one.
constexpr uint64_t kMaxBlocksPerByte = 8;

uint64_t ceil_div(uint64_t a, uint64_t b) {
  return (a + b - 1) / b;
}

// Of the header that was read; nullptr: fine.
const char* implausible(const jpeg_decompress_struct& info, uint64_t bytes) {
  const uint64_t width = info.image_width, height = info.image_height;
  if (width * height > kMaxPixels) return "it has more pixels than the limit of 178,956,970";
  uint64_t blocks = 0;
  for (int c = 0; c < info.num_components; c++) {
    const jpeg_component_info& component = info.comp_info[c];
    const uint64_t across = ceil_div(width * static_cast<uint64_t>(component.h_samp_factor),
                                     static_cast<uint64_t>(info.max_h_samp_factor) * DCTSIZE);
    const uint64_t down = ceil_div(height * static_cast<uint64_t>(component.v_samp_factor),
                                   static_cast<uint64_t>(info.max_v_samp_factor) * DCTSIZE);
    blocks += across * down;
  }
  if (!info.arith_code && blocks > bytes * kMaxBlocksPerByte) return "it is far too short for its dimensions";
  return nullptr;
}

}  // namespace

ErrorTrap::ErrorTrap() {
  jpeg_std_error(&manager_);
  manager_.error_exit = on_error;
  manager_.emit_message = on_message;
  manager_.output_message = on_output;
}

void ErrorTrap::on_error(j_common_ptr info) {
  ErrorTrap* trap = static_cast<ErrorTrap*>(info->client_data);
  info->err->format_message(info, trap->text_);
  std::longjmp(trap->jump_, 1);
}

// Damage is every warning after which libjpeg fills in pixels that the file does not have. The others (unknown JFIF
// version, extraneous bytes before a marker, odd SOS parameters) leave every pixel as coded.
void ErrorTrap::on_message(j_common_ptr info, int level) {
  if (level >= 0) return;  // Trace messages.
  bool damage = false;
  switch (info->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION:
      damage = true;
      break;
    case JWRN_JPEG_EOF:
      damage = static_cast<ErrorTrap*>(info->client_data)->end_of_data_is_damage_;
      break;
    default:
      break;
  }
  if (damage) on_error(info);
  info->err->num_warnings++;
}

void ErrorTrap::on_output(j_common_ptr) {}

void ErrorTrap::give_up(const char* reason) {
  std::snprintf(text_, sizeof text_, "%s", reason);
  std::longjmp(jump_, 1);
}

Decompressor::~Decompressor() {
  if (created_) jpeg_destroy_decompress(&info_);
}

bool Decompressor::open(std::span<const std::byte> bytes, SaveMarkers save) {
  message_.clear();
  const bool read = run([&] {
    info_.err = trap_.manager();
    info_.client_data = &trap_;
    if (created_) jpeg_destroy_decompress(&info_);
    created_ = false;
    jpeg_create_decompress(&info_);
    created_ = true;
    info_.mem->max_memory_to_use = kMaxBufferBytes;
    progress_.progress_monitor = on_progress;
    info_.progress = &progress_;
    jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    if (save == SaveMarkers::kAll) {
      for (int marker = JPEG_APP0; marker < JPEG_APP0 + 16; marker++) jpeg_save_markers(&info_, marker, 0xffff);
      jpeg_save_markers(&info_, JPEG_COM, 0xffff);
    }
    jpeg_read_header(&info_, TRUE);
    trap_.end_of_data_is_damage(jpeg_has_multiple_scans(&info_) != FALSE);
  });
  if (!read) return false;
  const char* wrong = implausible(info_, bytes.size());
  if (wrong != nullptr) message_ = wrong;
  return wrong == nullptr;
}

void Decompressor::on_progress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMaxScans)
    static_cast<ErrorTrap*>(info->client_data)->give_up("it has more scans than the limit of 100");
}

}  // namespace imgpack::jpeg
