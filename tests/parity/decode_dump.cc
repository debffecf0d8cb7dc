// Decodes windows of JPEG files for the parity tests, which compare the pixels with Pillow's.
//
// stdin, one request a line:  DECODER FILTER OUT_W OUT_H USE_X USE_Y USE_W USE_H X0 Y0 X1 Y1 FLIP PATH
//   DECODER  reference
//   FILTER   bilinear or bicubic
// stdout, one answer each:    one byte 0 and the pixels, or one byte 1, a 32-bit length and the error's text.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "format/error.h"
#include "format/jpeg/image_decoder.h"

namespace {

using imgpack::jpeg::Filter;
using imgpack::jpeg::ImageDecoder;
using imgpack::jpeg::SampleWindow;

std::vector<char> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void answer(ImageDecoder& decoder, const std::string& line) {
  std::istringstream words(line);
  std::string which, filter, path;
  int out_width = 0, out_height = 0;
  SampleWindow w;
  words >> which >> filter >> out_width >> out_height >> w.use_x >> w.use_y >> w.use_width >> w.use_height >> w.x0 >>
      w.y0 >> w.x1 >> w.y1 >> w.flip >> std::ws;
  std::getline(words, path);
  const std::vector<char> bytes = read_file(path);
  std::vector<uint8_t> rgb(3 * static_cast<size_t>(out_width) * static_cast<size_t>(out_height));
  try {
    decoder.decode(std::as_bytes(std::span(bytes)), {}, w, out_width, out_height,
                   filter == "bicubic" ? Filter::kBicubic : Filter::kBilinear, rgb.data());
    std::cout.put(0);
    std::cout.write(reinterpret_cast<const char*>(rgb.data()), static_cast<std::streamsize>(rgb.size()));
  } catch (const imgpack::Error& error) {
    const std::string text = error.what();
    const uint32_t length = static_cast<uint32_t>(text.size());
    std::cout.put(1);
    std::cout.write(reinterpret_cast<const char*>(&length), sizeof length);
    std::cout << text;
  }
  std::cout.flush();
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  const std::unique_ptr<ImageDecoder> decoder = imgpack::jpeg::make_reference_decoder();
  for (std::string line; std::getline(std::cin, line);) answer(*decoder, line);
}
