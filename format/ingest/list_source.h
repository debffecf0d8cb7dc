// A CSV or TSV list of images: `path,label` or `path,label,split`, one row per image.
//
//   path,label,split              a first row of column names is known by its words: path, file, filename or image
//   train/cat/1.jpg,cat,train     paths are relative to the list's folder
//   /data/new/7.jpg,cat,train     or absolute
//
// A row without a third column is of train. A split whose labels are all empty has none. Labels that are all whole
// numbers are the classes' positions: classes 0 to the largest, whether or not each has an image; else classes are the
// labels, in sorted order. An image's canonical name is its path without a leading split folder, so that the list of a
// tree of split folders is the same dataset as the tree.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/file.h"
#include "format/ingest/label_table.h"
#include "format/ingest/labeling.h"
#include "format/ingest/source.h"

namespace imgpack::ingest {

struct ListedImage {
  std::string path;   // As it is written.
  std::string label;  // Empty: none.
  std::string split;
  uint64_t line = 0;
};

// By name: ends in .csv or .tsv.
bool is_list_name(const std::filesystem::path& path);

// Throws Error(kInvalidInput) with the line of what is wrong.
std::vector<ListedImage> parse_image_list(std::string_view text, char separator, const std::filesystem::path& path);

// Reads the list and looks each file up. Throws Error(kInvalidInput) for files that are not there (some of them named),
// for two rows of one image, and what parse_image_list() throws; Error(kIo).
LabeledSource read_image_list(FileSystem& fs, const std::filesystem::path& list);

}  // namespace imgpack::ingest
