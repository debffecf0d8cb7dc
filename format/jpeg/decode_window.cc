#include "format/jpeg/decode_window.h"

#include <string>

#include "format/error.h"

namespace imgpack::jpeg {
namespace {

constexpr double kTolerance = 1e-3;

// Written so that NaN fails every comparison.
bool axis_fits(int use, int use_length, double begin, double end, int64_t length) {
  return use >= 0 && use_length > 0 && int64_t{use} + use_length <= length && begin >= use - kTolerance &&
         begin < end && end <= int64_t{use} + use_length + kTolerance;
}

std::string pair(const char* separator, double a, double b) {
  std::string x = std::to_string(a), y = std::to_string(b);
  return x + separator + y;
}

}  // namespace

void check_window(const SampleWindow& window, uint32_t width, uint32_t height, int out_width, int out_height) {
  if (out_width < 1 || out_height < 1 || out_width > kMaxOutputSide || out_height > kMaxOutputSide) {
    throw Error(ErrorKind::kInvalidInput, "decoder output size out of range: expected 1 to " +
                                              std::to_string(kMaxOutputSide) + " pixels a side, found " +
                                              std::to_string(out_width) + "x" + std::to_string(out_height));
  }
  if (axis_fits(window.use_x, window.use_width, window.x0, window.x1, width) &&
      axis_fits(window.use_y, window.use_height, window.y0, window.y1, height))
    return;
  throw Error(ErrorKind::kInvalidInput, "decode window outside the image: expected it inside " + std::to_string(width) +
                                            "x" + std::to_string(height) + ", found pixels " +
                                            std::to_string(window.use_width) + "x" + std::to_string(window.use_height) +
                                            " at " + std::to_string(window.use_x) + "," + std::to_string(window.use_y) +
                                            " and region " + pair(",", window.x0, window.y0) + " to " +
                                            pair(",", window.x1, window.y1));
}

}  // namespace imgpack::jpeg
