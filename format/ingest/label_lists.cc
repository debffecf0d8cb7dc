// Labels that people wrote by themselves: valprep.sh and CSV or TSV files.
#include <algorithm>
#include <array>
#include <iterator>
#include <optional>

#include "format/error.h"
#include "format/ingest/csv_reader.h"
#include "format/ingest/image_name.h"
#include "format/ingest/label_table.h"
#include "format/ingest/plain_text.h"

namespace imgpack::ingest {
namespace {

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!(line = trimmed(line)).empty()) {
    const size_t end = std::min(line.find_first_of(" \t"), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
  return words;
}

template <typename Names>
std::optional<size_t> column_of(const std::vector<std::string>& header, const Names& names) {
  for (size_t c = 0; c < header.size(); ++c) {
    if (std::find(std::begin(names), std::end(names), lower_case(trimmed(header[c]))) != std::end(names)) return c;
  }
  return std::nullopt;
}

constexpr std::array kImageColumns = {"image", "images",   "file",       "filename", "file_name",
                                      "name",  "image_id", "image_name", "path",     "imageid"};
constexpr std::array kClassColumns = {"class",  "wnid",       "label",     "labels",
                                      "synset", "class_name", "synset_id", "target"};

// An extension is taken off, a dot in the name is not mistaken for one.
std::string_view without_extension(std::string_view name) {
  return is_image_file(last_component(name)) ? name.substr(0, name.rfind('.')) : name;
}

}  // namespace

LabelTable parse_valprep_script(std::string_view text, const std::filesystem::path& path) {
  LabelTable table{path.filename().string(), path, {}};
  for_each_line(text, path, [&](std::string_view line, uint64_t number) {
    std::vector<std::string_view> words = words_of(line);
    if (words.front() != "mv") return;
    words.erase(words.begin());
    std::erase_if(words, [](std::string_view word) { return word.starts_with('-'); });
    const auto fail = [&](const std::string& expected) {
      throw Error(ErrorKind::kInvalidInput,
                  "line " + std::to_string(number) + ": expected " + expected + ", found '" + printable(line) + "'",
                  path);
    };
    if (words.size() != 2) fail("`mv IMAGE CLASS/`");
    const std::string_view image = last_component(words[0]), class_name = last_component(words[1]);
    if (!is_image_file(image)) fail("an image after mv");
    if (!is_class_name(class_name)) fail("the folder of a class after the image");
    table.add(stem_of(image), class_name, number);
  });
  if (table.class_of.empty())
    throw Error(ErrorKind::kInvalidInput, "no line moves an image: expected `mv IMAGE CLASS/`", path);
  return table;
}

LabelTable parse_label_list(std::string_view text, const std::filesystem::path& path) {
  const std::string_view first_line = text.substr(0, text.find('\n'));
  if (first_line.find("PredictionString") != std::string_view::npos) return parse_loc_solution(text, path);
  const char separator = first_line.find('\t') != std::string_view::npos ? '\t' : ',';
  LabelTable table{path.filename().string(), path, {}};
  CsvReader rows(text, separator, path);
  std::vector<std::string> fields;
  if (!rows.next(fields)) throw Error(ErrorKind::kInvalidInput, "file is empty: expected rows of IMAGE,CLASS", path);
  const auto image = column_of(fields, kImageColumns), named_class = column_of(fields, kClassColumns);
  const bool has_header = image && named_class;
  const size_t image_at = has_header ? *image : 0, class_at = has_header ? *named_class : 1;
  if (has_header && !rows.next(fields))
    throw Error(ErrorKind::kInvalidInput, "file has a header and no rows: expected rows of IMAGE,CLASS", path);
  do {
    if (fields.size() <= std::max(image_at, class_at))
      rows.fail("expected at least " + std::to_string(std::max(image_at, class_at) + 1) + " columns, found " +
                std::to_string(fields.size()));
    const std::string_view name = without_extension(trimmed(fields[image_at]));
    const std::string_view class_name = trimmed(fields[class_at]);
    if (name.empty()) rows.fail("the name of the image is empty");
    if (!is_class_name(class_name))
      rows.fail("expected a class after " + printable(name) + ", found '" + printable(class_name) + "'");
    table.add(name, class_name, rows.line());
  } while (rows.next(fields));
  return table;
}

}  // namespace imgpack::ingest
