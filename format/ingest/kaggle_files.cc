// The text files of the Kaggle download: LOC_val_solution.csv, LOC_synset_mapping.txt, ImageSets/CLS-LOC/*.txt.
#include <algorithm>

#include "format/error.h"
#include "format/ingest/csv_reader.h"
#include "format/ingest/image_name.h"
#include "format/ingest/label_table.h"
#include "format/ingest/plain_text.h"

namespace imgpack::ingest {
namespace {

constexpr size_t kMaxClasses = 1'000'000;

}  // namespace

LabelTable parse_loc_solution(std::string_view text, const std::filesystem::path& path) {
  LabelTable table{path.filename().string(), path, {}};
  CsvReader rows(text, ',', path);
  std::vector<std::string> fields;
  if (!rows.next(fields))
    throw Error(ErrorKind::kInvalidInput, "file is empty: expected the header ImageId,PredictionString", path);
  if (fields.size() != 2 || trimmed(fields[0]) != "ImageId" || trimmed(fields[1]) != "PredictionString") {
    rows.fail("expected the header ImageId,PredictionString, found '" + printable(fields[0]) + "'");
  }
  while (rows.next(fields)) {
    if (fields.size() != 2) rows.fail("expected 2 columns, found " + std::to_string(fields.size()));
    const std::string_view id = trimmed(fields[0]), boxes = trimmed(fields[1]);
    const std::string_view class_name = boxes.substr(0, boxes.find(' '));
    if (id.empty()) rows.fail("ImageId is empty");
    if (!is_class_name(class_name))
      rows.fail("expected a WNID and a box after " + printable(id) + ", found '" + printable(boxes) + "'");
    // An extension is tolerated, a dot in the name is not mistaken for one.
    table.add(is_image_file(id) ? stem_of(id) : id, class_name, rows.line());
  }
  return table;
}

std::vector<SynsetLine> parse_synset_mapping(std::string_view text, const std::filesystem::path& path) {
  std::vector<SynsetLine> lines;
  for_each_line(text, path, [&](std::string_view line, uint64_t number) {
    const size_t space = std::min(line.find(' '), line.size());
    const std::string_view wnid = line.substr(0, space), names = trimmed(line.substr(space));
    if (!is_class_name(wnid)) {
      throw Error(ErrorKind::kInvalidInput, "line " + std::to_string(number) + ": expected a WNID and names", path);
    }
    if (lines.size() == kMaxClasses) throw Error(ErrorKind::kInvalidInput, "more than 1,000,000 classes", path);
    lines.push_back({std::string(wnid), std::string(names)});
  });
  return lines;
}

std::vector<std::string> parse_image_set(std::string_view text, const std::filesystem::path& path) {
  std::vector<std::string> names;
  for_each_line(text, path,
                [&](std::string_view line, uint64_t) { names.emplace_back(line.substr(0, line.find(' '))); });
  return names;
}

}  // namespace imgpack::ingest
