// A dataset back into what other tools read, so that nobody is locked in.
//
//   imagefolder  OUT/train/n01440764/n01440764_10026.JPEG                 torchvision's ImageFolder, and imgpack build
//   webdataset   OUT/train-000000.tar: KEY.jpg KEY.cls KEY.json, …        WebDataset
//   tfrecord     OUT/train-00000-of-00128: tf.train.Example messages      tf.data, with the usual image/… features
//
// All in record order, which is a shuffled one. OUT/classes.txt has WNID and names of every class, in label order. OUT
// is there whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/dataset.h"
#include "format/file.h"

namespace imgpack {

enum class ExportFormat { kImageFolder, kWebDataset, kTfRecord };
std::optional<ExportFormat> parse_export_format(std::string_view name);  // `imagefolder`, `webdataset`, `tfrecord`

struct RecordRef {
  const SplitView* split = nullptr;
  uint64_t record = 0;  // In the split's global order.
};

struct ExportOptions {
  ExportFormat format = ExportFormat::kImageFolder;
  uint64_t file_bytes = 1ull << 30;  // Image bytes per tar or TFRecord file, at most, but for one large image.
  std::function<void(uint64_t bytes)> on_record;  // May throw to stop.
};

struct ExportReport {
  uint64_t records = 0, bytes = 0;  // Bytes of images.
  uint64_t files = 0;               // But for classes.txt.
};

// `records` in the order of splits and records. REQUIRES: `dataset` was opened with names. Throws
// Error(kInvalidInput) where OUT has something in it or two images would get one name, Error(kCorruption), Error(kIo).
ExportReport export_records(FileSystem& fs, const Dataset& dataset, const std::vector<RecordRef>& records,
                            const std::filesystem::path& out, const ExportOptions& options);

// `n01440764/n01440764_10026.JPEG`: below its class's folder, if it has one.
std::string folder_path_of(std::string_view name, std::string_view wnid);
// The name without extension and, because WebDataset cuts a key at the first one, without dots in its last component.
std::string webdataset_key_of(std::string_view name);

}  // namespace imgpack
