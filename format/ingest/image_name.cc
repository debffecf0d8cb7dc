#include "format/ingest/image_name.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "format/ingest/plain_text.h"
#include "format/utf8.h"

namespace imgpack::ingest {
namespace {

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

}  // namespace

bool is_image_file(std::string_view file_name) {
  if (file_name.empty() || file_name.front() == '.') return false;
  const size_t dot = file_name.rfind('.');
  if (dot == std::string_view::npos) return false;
  constexpr std::array<std::string_view, 8> extensions = {"jpeg", "jpg", "png", "webp", "bmp", "gif", "tif", "tiff"};
  const std::string extension = lower_case(file_name.substr(dot + 1));
  return std::find(extensions.begin(), extensions.end(), extension) != extensions.end();
}

std::string_view split_of_folder(std::string_view folder_name) {
  if (folder_name == "train") return "train";
  if (folder_name == "val" || folder_name == "valid" || folder_name == "validation") return "val";
  if (folder_name == "test") return "test";
  return "";
}

bool is_ilsvrc_name(std::string_view file_name) {
  std::string_view rest = stem_of(file_name);
  for (std::string_view prefix : {"ILSVRC2012_val_", "ILSVRC2012_test_"}) {
    if (!starts_with(rest, prefix)) continue;
    rest.remove_prefix(prefix.size());
    return rest.size() == 8 && std::all_of(rest.begin(), rest.end(), [](unsigned char c) { return std::isdigit(c); });
  }
  return false;
}

std::string_view last_component(std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string_view stem_of(std::string_view name) {
  const size_t slash = name.rfind('/');
  if (slash != std::string_view::npos) name.remove_prefix(slash + 1);
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos || dot == 0 ? name : name.substr(0, dot);
}

std::optional<SourceImage> source_image(std::string path, uint64_t bytes) {
  if (path.size() > kMaxPathBytes) return std::nullopt;
  SourceImage image;
  const size_t first = path.find('/');
  if (first != std::string::npos) image.class_bytes = static_cast<uint16_t>(first);
  const size_t last = path.rfind('/');
  if (last != std::string::npos && is_ilsvrc_name(std::string_view(path).substr(last + 1))) {
    image.name_begin = static_cast<uint16_t>(last + 1);
  }
  image.path = std::move(path);
  image.bytes = bytes;
  return image;
}

std::string printable(std::string_view text) {
  constexpr const char* digits = "0123456789abcdef";
  std::string out;
  while (!text.empty()) {
    const size_t length = utf8_sequence(text);
    const auto first = static_cast<unsigned char>(text.front());
    if (length == 0 || first < 0x20 || first == 0x7F) {
      out += "\\x";
      out += digits[first >> 4];
      out += digits[first & 15];
      text.remove_prefix(1);
    } else {
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return out;
}

}  // namespace imgpack::ingest
