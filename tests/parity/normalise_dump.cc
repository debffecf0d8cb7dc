// Normalises image files for the parity tests.
//
// stdin, one request a line:  [resize-short=N] [resize-max=N] [orient] [simd=TARGET] path=PATH
// stdout, one answer each:    `jpeg WIDTH HEIGHT FLAGS BYTES\n` and the bytes, or `REASON DETAIL\n`
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "format/ingest/image_normaliser.h"
#include "format/jpeg/simd_target.h"

namespace {

using namespace imgpack::ingest;

std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::byte* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

void answer(const std::string& line) {
  std::istringstream words(line);
  NormaliseOptions options;
  std::string path;
  std::unique_ptr<imgpack::jpeg::ForcedSimdTarget> forced;
  for (std::string word; words >> word;) {
    const std::string value = word.substr(word.find('=') + 1);
    if (word.starts_with("resize-short=")) options.resize_short = static_cast<uint32_t>(std::stoul(value));
    if (word.starts_with("resize-max=")) options.resize_max = static_cast<uint32_t>(std::stoul(value));
    if (word == "orient") options.apply_orientation = true;
    if (word.starts_with("simd=")) forced = std::make_unique<imgpack::jpeg::ForcedSimdTarget>(value);
    if (word.starts_with("path=")) path = value;
  }
  const auto outcome = normalise_image(read_file(path), options);
  if (const auto* reason = std::get_if<Quarantine>(&outcome)) {
    std::cout << reason_name(reason->reason) << ' ' << reason->detail << '\n' << std::flush;
    return;
  }
  const NormalisedImage& image = std::get<NormalisedImage>(outcome);
  std::cout << "jpeg " << image.width << ' ' << image.height << ' ' << image.flags << ' ' << image.jpeg.size() << '\n';
  std::cout.write(reinterpret_cast<const char*>(image.jpeg.data()), static_cast<std::streamsize>(image.jpeg.size()));
  std::cout.flush();
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) answer(line);
}
