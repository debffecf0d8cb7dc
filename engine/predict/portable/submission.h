// A submission to the ImageNet Object Localization Challenge on Kaggle.
//
//   ImageId,PredictionString
//   ILSVRC2012_test_00000001,65 0 0 500 375 22 0 0 500 375 …
//
// Up to five groups a row, likeliest first: the class's number (1 to 1,000, its line in LOC_synset_mapping.txt) and a
// box x1 y1 x2 y2. A classifier knows no boxes: each is the whole image.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "format/file.h"

namespace imgtrain {

inline constexpr size_t kSubmissionGuesses = 5;

enum class SubmissionClass {
  kNumber,  // As the challenge counts them.
  kWnid,    // As LOC_val_solution.csv has them, to compare with.
};

struct SubmissionRow {
  std::string image;               // Without extension.
  std::vector<std::string> wnids;  // Likeliest first.
  uint32_t width = 0, height = 0;
};

// The text of the file. `order`: the image ids in the order asked for; empty: sorted by id. Throws Error(kInvalidInput)
// for a WNID that is none of ILSVRC2012's where numbers are asked for, and for ids in `order` that have no row or rows
// that `order` lacks.
std::string submission_csv(std::vector<SubmissionRow> rows, SubmissionClass classes,
                           const std::vector<std::string>& order);

// Before the work: whether rows of these classes can be written. Throws Error(kInvalidInput) for a WNID that is none of
// ILSVRC2012's where numbers are asked for, and for an empty one.
void require_submission_classes(const std::vector<std::string>& wnids, SubmissionClass classes);

// The ImageId column of LOC_sample_submission.csv, in its order. Throws Error(kInvalidInput) for another header.
std::vector<std::string> read_sample_submission(imgpack::FileSystem& fs, const std::filesystem::path& path);

}  // namespace imgtrain
