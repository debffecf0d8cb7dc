#include "tests/support/photographs.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace imgpack::test {
namespace {

constexpr size_t kTarBlock = 512;
constexpr size_t kSizeField = 124;  // Octal text.

}  // namespace

std::vector<Photograph> read_photographs(const std::string& shared_dir) {
  std::vector<Photograph> photographs;
  std::ifstream tar(shared_dir + "/data/imagenet-samples.tar", std::ios::binary);
  char header[kTarBlock];
  while (tar.read(header, kTarBlock) && header[0] != 0) {
    const size_t size = std::strtoull(std::string(header + kSizeField, 12).c_str(), nullptr, 8);
    std::vector<std::byte> bytes(size);
    tar.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
    tar.ignore(static_cast<std::streamsize>((kTarBlock - size % kTarBlock) % kTarBlock));
    if (size > 0) photographs.push_back({std::string(header), std::move(bytes)});
  }
  return photographs;
}

}  // namespace imgpack::test
