#include "format/ingest/label_table.h"

#include "format/error.h"
#include "format/ingest/ilsvrc2012.h"
#include "format/ingest/image_name.h"

namespace imgpack::ingest {

void LabelTable::add(std::string_view name, std::string_view class_name, uint64_t line) {
  const auto [at, is_new] = class_of.emplace(name, class_name);
  if (is_new || at->second == class_name) return;
  throw Error(ErrorKind::kInvalidInput,
              "line " + std::to_string(line) + ": " + printable(name) + " has two classes, " + printable(at->second) +
                  " and " + printable(class_name),
              path);
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
