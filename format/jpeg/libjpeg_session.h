// libjpeg with this project's manners: errors come back as text instead of ending the process, data that would make
// libjpeg invent pixels is an error, and neither memory nor scans grow with what a hostile header claims.
//
//   Decompressor d;
//   if (!d.run([&] { … libjpeg calls on d.info() … })) throw … d.message();
#pragma once

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <utility>

// clang-format off
#include <jpeglib.h>  // Needs size_t and FILE of the headers above.
// clang-format on

#include "format/jpeg/limits.h"

namespace imgpack::jpeg {

// Of libjpeg's whole-image buffers (progressive and multi-scan streams): 6 bytes per pixel of the largest 4:4:4 image.
inline constexpr long kMaxBufferBytes = 1'100'000'000;
// Scans of one image; encoders write about ten. Bounds the time that a small progressive file can take.
inline constexpr int kMaxScans = 100;

// Catches libjpeg's error_exit. Trivially destructible parts only between the jump and its target: a step must not own
// anything with a destructor.
class ErrorTrap {
 public:
  ErrorTrap();
  ErrorTrap(const ErrorTrap&) = delete;
  ErrorTrap& operator=(const ErrorTrap&) = delete;

  jpeg_error_mgr* manager() { return &manager_; }
  std::string message() const { return text_; }

  // Calls step(); false if libjpeg gave up inside, message() then says why. Its own function, so that no variable of
  // the caller lives in a register across the jump.
  template <class Step>
  __attribute__((noinline)) bool run(Step&& step) {
    if (setjmp(jump_) != 0) return false;
    step();
    return true;
  }

  [[noreturn]] void give_up(const char* reason);  // From a callback of libjpeg.

  // A single scan that lacks bytes is noticed when it needs them. Where several scans make up the image, missing ones
  // are noticed only by the end of the bytes.
  void end_of_data_is_damage(bool is) { end_of_data_is_damage_ = is; }

 private:
  static void on_error(j_common_ptr info);
  static void on_message(j_common_ptr info, int level);
  static void on_output(j_common_ptr info);

  jpeg_error_mgr manager_{};  // libjpeg hands back this address; on_error finds the trap through client_data.
  std::jmp_buf jump_{};
  char text_[JMSG_LENGTH_MAX] = {};
  bool end_of_data_is_damage_ = false;
};

enum class SaveMarkers { kNo, kAll };  // Application and comment segments, for a transcode.

// One image being read. Tables never survive from one image to the next, so a result depends on its bytes alone.
class Decompressor {
 public:
  Decompressor() = default;
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  // Reads up to the first scan and checks the dimensions against the limits above and against the bytes there are.
  // `bytes` must outlive the object. False: message() says what is wrong.
  bool open(std::span<const std::byte> bytes, SaveMarkers save = SaveMarkers::kNo);

  jpeg_decompress_struct& info() { return info_; }
  ErrorTrap& trap() { return trap_; }
  std::string message() const { return message_.empty() ? trap_.message() : message_; }

  template <class Step>
  bool run(Step&& step) {
    return trap_.run(std::forward<Step>(step));
  }

 private:
  static void on_progress(j_common_ptr info);

  ErrorTrap trap_;
  jpeg_decompress_struct info_{};
  jpeg_progress_mgr progress_{};
  bool created_ = false;
  std::string message_;
};

}  // namespace imgpack::jpeg
