#include "engine/serve/examples.h"

#include <set>
#include <span>
#include <utility>

#include "format/error.h"
#include "format/ingest/image_kind.h"

namespace imgtrain::serve {
namespace {

std::string content_type_of(const std::string& bytes) {
  switch (imgpack::ingest::guess_kind(std::as_bytes(std::span(bytes))).kind) {
    case imgpack::ingest::ImageKind::kJpeg:
      return "image/jpeg";
    case imgpack::ingest::ImageKind::kPng:
      return "image/png";
    case imgpack::ingest::ImageKind::kWebp:
      return "image/webp";
    default:
      return "";
  }
}

std::string suffix_of(const std::string& content_type) {
  if (content_type == "image/jpeg") return ".jpg";
  return content_type == "image/png" ? ".png" : ".webp";
}

}  // namespace

std::vector<Example> read_examples(imgpack::FileSystem& fs, const std::filesystem::path& folder,
                                   const std::function<void(const std::string&)>& warn) {
  std::vector<Example> examples;
  size_t left_out = 0;
  for (const imgpack::DirectoryEntry& entry : fs.list(folder)) {
    if (entry.is_directory) continue;
    if (entry.bytes > kMaxExampleBytes) {
      warn(entry.name + ": too large for an example, expected at most " + std::to_string(kMaxExampleBytes >> 20) +
           " MiB");
      continue;
    }
    std::string bytes = imgpack::read_text(fs, folder / entry.name, kMaxExampleBytes);
    std::string type = content_type_of(bytes);
    if (type.empty()) continue;
    if (examples.size() == kMaxExamples) {
      ++left_out;
      continue;
    }
    examples.push_back({std::filesystem::path(entry.name).stem().string(), std::move(type), std::move(bytes)});
  }
  if (left_out > 0)
    warn("examples: the first " + std::to_string(kMaxExamples) + " are taken, " + std::to_string(left_out) +
         " left out");
  if (examples.empty()) {
    throw imgpack::Error(imgpack::ErrorKind::kInvalidInput,
                         "expected JPEG, PNG or WebP files for the page's examples, found none", folder);
  }
  return examples;
}

std::vector<std::string> example_file_names(const std::vector<Example>& examples) {
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (const Example& example : examples) {
    const std::string suffix = suffix_of(example.content_type);
    std::string name = example.name + suffix;
    for (int number = 2; !taken.insert(name).second; ++number)
      name = example.name + "-" + std::to_string(number) + suffix;
    names.push_back(name);
  }
  return names;
}

}  // namespace imgtrain::serve
