#include "format/ingest/ilsvrc2012.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "format/ingest/image_name.h"

namespace imgpack::ingest {
namespace {

constexpr std::string_view kClassText =
#include "format/ingest/ilsvrc2012_classes.inc"
    ;

constexpr std::string_view kValLabelLines[] = {
#include "format/ingest/ilsvrc2012_val_labels.inc"
};
constexpr size_t kLabelsPerLine = 50;
static_assert(std::size(kValLabelLines) * kLabelsPerLine == kIlsvrcValImages);
static_assert(std::all_of(std::begin(kValLabelLines), std::end(kValLabelLines),
                          [](std::string_view line) { return line.size() == 2 * kLabelsPerLine; }));

int32_t base36(char digit) {
  return digit <= '9' ? digit - '0' : digit - 'a' + 10;
}

std::array<IlsvrcClass, kIlsvrcClasses> split_class_text() {
  std::array<IlsvrcClass, kIlsvrcClasses> classes;
  std::string_view rest = kClassText;
  for (IlsvrcClass& one : classes) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    const size_t space = line.find(' ');
    one = {line.substr(0, space), line.substr(space + 1)};
    rest.remove_prefix(line.size() + 1);
  }
  return classes;
}

}  // namespace

std::span<const IlsvrcClass> ilsvrc_classes() {
  static const std::array<IlsvrcClass, kIlsvrcClasses> classes = split_class_text();
  return classes;
}

std::optional<int32_t> ilsvrc_label(std::string_view wnid) {
  const auto classes = ilsvrc_classes();
  const auto at = std::lower_bound(classes.begin(), classes.end(), wnid,
                                   [](const IlsvrcClass& one, std::string_view key) { return one.wnid < key; });
  if (at == classes.end() || at->wnid != wnid) return std::nullopt;
  return static_cast<int32_t>(at - classes.begin());
}

int32_t ilsvrc_val_label(uint32_t number) {
  const size_t index = number - 1;
  const std::string_view digits = kValLabelLines[index / kLabelsPerLine].substr(index % kLabelsPerLine * 2, 2);
  return base36(digits[0]) * 36 + base36(digits[1]);
}

std::optional<uint32_t> ilsvrc_val_number(std::string_view name) {
  constexpr std::string_view prefix = "ILSVRC2012_val_";
  const std::string_view stem = stem_of(name);
  if (!is_ilsvrc_name(name) || stem.substr(0, prefix.size()) != prefix) return std::nullopt;
  uint32_t number = 0;
  for (char digit : stem.substr(prefix.size())) number = number * 10 + static_cast<uint32_t>(digit - '0');
  if (number < 1 || number > kIlsvrcValImages) return std::nullopt;
  return number;
}

}  // namespace imgpack::ingest
