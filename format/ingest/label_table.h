// What one source of labels says: image -> class. Several tables are compared in labeling.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "format/file.h"
#include "format/ingest/source.h"

namespace imgpack::ingest {

struct LabelTable {
  std::string source;          // What it is, for people: `LOC_val_solution.csv`.
  std::filesystem::path path;  // Empty where it is no file.
  // From the image's name without extension, and without folders where the label source has none, to the name of its
  // class folder, a WNID.
  std::unordered_map<std::string, std::string> class_of;

  // Throws Error(kInvalidInput) if the image already has another class. `line` is named then.
  void add(std::string_view name, std::string_view class_name, uint64_t line);
};

// `LOC_val_solution.csv`: ImageId,PredictionString with one or more groups `wnid x1 y1 x2 y2`. Rows in any order; an
// ImageId may have an extension. Throws Error(kInvalidInput) with the line of what is wrong.
LabelTable parse_loc_solution(std::string_view text, const std::filesystem::path& path);

// `Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml`, one file per image (PASCAL VOC): the class is the name of the
// first object. Only files of the images asked for are opened. Throws Error(kInvalidInput) for XML that is damaged or
// names no object, Error(kIo).
LabelTable read_annotations(FileSystem& fs, const std::filesystem::path& folder, const SourceSplit& split);
std::string parse_annotation(std::string_view xml, const std::filesystem::path& path);  // -> class

// `valprep.sh`, the script that sorts a flat validation set: its lines `mv ILSVRC2012_val_00000001.JPEG n01751748/`.
// It is read, never run; lines that move nothing are passed over. Throws Error(kInvalidInput) with the line.
LabelTable parse_valprep_script(std::string_view text, const std::filesystem::path& path);

// A user's own CSV or TSV: a column of images and one of classes, named by a header (image, file, name, path, ImageId;
// class, wnid, label, synset) or, without one, the first and the second. LOC_val_solution.csv is recognised too.
// Classes are names of class folders: numbers could be counted from anything and are refused where the list of classes
// has no such name. Throws Error(kInvalidInput) with the line.
LabelTable parse_label_list(std::string_view text, const std::filesystem::path& path);

// Whether `name` can be a class folder's: 1 to 255 bytes, no path.
bool is_class_name(std::string_view name);

// Calls `use(line, number)` for every line that is not blank, without the blanks around it. Throws
// Error(kInvalidInput) for a NUL byte.
void for_each_line(std::string_view text, const std::filesystem::path& path,
                   const std::function<void(std::string_view line, uint64_t number)>& use);

// The built-in labels of the ILSVRC2012 validation set.
LabelTable builtin_val_labels();

// `LOC_synset_mapping.txt`: one line per class, `n01440764 tench, Tinca tinca`. In the file's order.
struct SynsetLine {
  std::string wnid;
  std::string names;
};
std::vector<SynsetLine> parse_synset_mapping(std::string_view text, const std::filesystem::path& path);

// Names of images, one per line and without extension, of `ImageSets/CLS-LOC/{train_cls,val,test}.txt`; what follows a
// blank is a counter and no label.
std::vector<std::string> parse_image_set(std::string_view text, const std::filesystem::path& path);

}  // namespace imgpack::ingest
