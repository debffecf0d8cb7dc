#include "format/ingest/label_table.h"

#include <algorithm>

#include "format/error.h"
#include "format/ingest/csv_reader.h"
#include "format/ingest/ilsvrc2012.h"
#include "format/ingest/image_name.h"
#include "format/ingest/plain_text.h"

namespace imgpack::ingest {

void LabelTable::add(std::string_view name, std::string_view class_name, uint64_t line) {
  const auto [at, is_new] = class_of.emplace(name, class_name);
  if (is_new || at->second == class_name) return;
  throw Error(ErrorKind::kInvalidInput,
              "line " + std::to_string(line) + ": " + printable(name) + " has two classes, " + printable(at->second) +
                  " and " + printable(class_name),
              path);
}

// A class name that could also be a path would be one in `extract`.
bool is_class_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name.find('/') == std::string_view::npos && name != "." && name != "..";
}

void for_each_line(std::string_view text, const std::filesystem::path& path,
                   const std::function<void(std::string_view line, uint64_t number)>& use) {
  if (text.find('\0') != std::string_view::npos)
    throw Error(ErrorKind::kInvalidInput, "a NUL byte: this is no text file", path);
  uint64_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (!line.empty()) use(line, number);
  }
}

LabelTable builtin_val_labels() {
  LabelTable table{"built-in ILSVRC2012 labels", {}, {}};
  table.class_of.reserve(kIlsvrcValImages);
  for (uint32_t number = 1; number <= kIlsvrcValImages; ++number) {
    const std::string digits = std::to_string(number);
    const IlsvrcClass& one = ilsvrc_classes()[static_cast<size_t>(ilsvrc_val_label(number))];
    table.class_of.emplace("ILSVRC2012_val_" + std::string(8 - digits.size(), '0') + digits, one.wnid);
  }
  return table;
}

}  // namespace imgpack::ingest
