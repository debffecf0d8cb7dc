// From a scan to labels: every label source that is present is read, all are compared, and each image gets the label
// they agree on.
//
//   SourceScan + label sources -> LabeledSource { classes, one LabeledSplit per split }
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "format/file.h"
#include "format/ingest/class_list.h"
#include "format/ingest/label_table.h"
#include "format/ingest/source.h"

namespace imgpack::ingest {

// A file of labels that the user names for a split: see parse_label_list().
struct UserLabels {
  std::string split = "val";
  std::filesystem::path file;
};

struct LabelOptions {
  ClassPolicy classes = ClassPolicy::kAuto;
  // Use the built-in labels of the ILSVRC2012 validation images by name even where the set is not known to be whole.
  bool force_builtin = false;
  std::vector<UserLabels> files = {};  // Compared like every other source.
};

// How a label source did.
struct LabelSourceReport {
  std::string source;
  std::filesystem::path path;
  uint64_t covered = 0;  // Images of the split that it labels.
  uint64_t others = 0;   // Images that it labels and the split lacks.
};

struct LabeledSplit {
  bool labeled = false;
  std::vector<int32_t> labels;             // Of the split's images in their order; kNoLabel where not labeled.
  std::vector<LabelSourceReport> sources;  // All agree.
  std::vector<std::string> notes;
};

// Images that a full ImageNet, or the source's own ImageSets lists, have and the source lacks.
struct MissingImages {
  std::string split;
  uint64_t expected = 0;
  uint64_t found = 0;
  uint64_t missing = 0;               // By name where a list is there, else expected - found.
  std::vector<std::string> examples;  // A few names, where a list is there.
};

struct LabeledSource {
  SourceScan scan;
  ClassList classes;
  std::vector<LabeledSplit> splits;  // One per split of the scan.
  std::vector<MissingImages> missing;
};

// Throws Error(kInvalidInput) where sources disagree (listing some of the images and counting all), where a label file
// is for other images, where an image has no label, or where val has a class that train lacks.
LabeledSource label_source(FileSystem& fs, SourceScan scan, const LabelOptions& options = {});

// The pure part, for one split that must be labeled: compares the class folders and `tables`, maps classes to labels.
LabeledSplit agree_on_labels(const SourceSplit& split, const std::vector<LabelTable>& tables, const ClassList& classes);

}  // namespace imgpack::ingest
