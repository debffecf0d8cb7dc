#include "format/diff.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "format/checksum.h"
#include "format/error.h"
#include "format/layout.h"
#include "format/record_header.h"
#include "format/strict_json.h"

namespace imgpack {
namespace {

// Reads the checksums of image sections from record headers, one shard file open at a time.
class ImageChecksums {
 public:
  ImageChecksums(FileSystem& fs, const Dataset& dataset, const SplitView& split)
      : fs_(fs), dataset_(dataset), split_(split) {}

  uint64_t of(uint64_t record) {
    const uint32_t shard = split_.shard[record];
    if (!file_ || shard != open_) {
      file_ = fs_.open(dataset_.shard_path(split_.info.name, shard));
      open_ = shard;
    }
    std::vector<std::byte> bytes(
        std::min<uint64_t>(split_.columns.record_bytes[record], layout::kMaxRecordHeaderBytes));
    read_exactly(*file_, split_.offset[record], bytes);
    std::string why;
    const auto header = decode_record_header(bytes, &why);
    if (!header || header->meta.id != split_.columns.id[record])
      throw Error(ErrorKind::kCorruption, "record header is damaged" + (why.empty() ? "" : ": " + why), file_->path(),
                  split_.offset[record], "imgpack verify " + dataset_.folder().string());
    for (const SectionEntry& section : header->sections) {
      if (section.type == static_cast<uint16_t>(SectionType::kImage)) return section.checksum;
    }
    return 0;
  }

 private:
  FileSystem& fs_;
  const Dataset& dataset_;
  const SplitView& split_;
  std::unique_ptr<RandomAccessFile> file_;
  uint32_t open_ = 0;
};

std::string wnid_of(const Dataset& dataset, int32_t label) {
  const auto& classes = dataset.manifest().classes;
  if (label < 0 || static_cast<size_t>(label) >= classes.size()) return "no class";
  return classes[static_cast<size_t>(label)].wnid;
}

std::string size_text(const IndexColumns& columns, uint64_t i) {
  return std::to_string(columns.width[i]) + "x" + std::to_string(columns.height[i]) + ", " +
         std::to_string(columns.image_bytes[i]) + " bytes";
}

class Diff {
 public:
  Diff(FileSystem& fs, const Dataset& first, const Dataset& second, const DiffOptions& options)
      : fs_(fs), first_(first), second_(second), options_(options) {}

  DatasetDiff run() {
    diff_.first_id = first_.manifest().dataset_id;
    diff_.second_id = second_.manifest().dataset_id;
    compare_options();
    if (diff_.first_id == diff_.second_id) {
      for (const SplitInfo& split : first_.manifest().splits) diff_.same += split.records;
      return std::move(diff_);
    }
    compare_classes();
    if (first_.manifest().seed != second_.manifest().seed)
      diff_.facts.push_back("seed of the order: " + std::to_string(first_.manifest().seed) + " and " +
                            std::to_string(second_.manifest().seed));
    compare_split_lists();
    return std::move(diff_);
  }

 private:
  void compare_options() {
    const auto &a = first_.manifest().options, &b = second_.manifest().options;
    std::map<std::string, std::pair<std::string, std::string>> both;
    for (const auto& [key, value] : a) both[key] = {value, "none"};
    for (const auto& [key, value] : b) both.emplace(key, std::pair("none", value)).first->second.second = value;
    for (const auto& [key, values] : both) {
      if (values.first != values.second) diff_.options.push_back(key + ": " + values.first + " and " + values.second);
    }
  }

  void compare_classes() {
    const auto &a = first_.manifest().classes, &b = second_.manifest().classes;
    if (a.size() != b.size())
      diff_.facts.push_back("classes: " + std::to_string(a.size()) + " and " + std::to_string(b.size()));
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      if (a[i].wnid == b[i].wnid) continue;
      diff_.facts.push_back("class " + std::to_string(i) + ": " + a[i].wnid + " and " + b[i].wnid);
      return;  // The rest would only be shifted.
    }
  }

  void compare_split_lists() {
    for (const SplitInfo& info : first_.manifest().splits) {
      const SplitView& split = first_.split(info.name);
      if (second_.has_split(info.name)) {
        if (info.labeled != second_.split(info.name).info.labeled)
          diff_.facts.push_back("split " + info.name + ": only one of them has labels");
        compare_split(split, second_.split(info.name));
      } else {
        diff_.facts.push_back("split " + info.name + ": only in the first");
        diff_.only_in_first += split.records();
      }
    }
    for (const SplitInfo& info : second_.manifest().splits) {
      if (first_.has_split(info.name)) continue;
      diff_.facts.push_back("split " + info.name + ": only in the second");
      diff_.only_in_second += info.records;
    }
  }

  void compare_split(const SplitView& a, const SplitView& b) {
    // Positions in b by id; ids depend on split and name alone, whatever the seed.
    std::vector<std::pair<uint64_t, uint64_t>> place;
    place.reserve(b.records());
    for (uint64_t i = 0; i < b.records(); ++i) place.emplace_back(b.columns.id[i], i);
    std::sort(place.begin(), place.end());
    std::vector<bool> met(b.records());
    ImageChecksums images_a(fs_, first_, a), images_b(fs_, second_, b);
    for (uint64_t i = 0; i < a.records(); ++i) {
      if (options_.on_record) options_.on_record();
      const auto at = std::lower_bound(place.begin(), place.end(), std::pair(a.columns.id[i], uint64_t{0}));
      if (at == place.end() || at->first != a.columns.id[i] || a.columns.names[i] != b.columns.names[at->second]) {
        ++diff_.only_in_first;
        list({DifferenceKind::kOnlyInFirst, a.info.name, a.columns.names[i], {}, {}});
        continue;
      }
      met[at->second] = true;
      compare_record(a, i, images_a, b, at->second, images_b);
    }
    for (uint64_t i = 0; i < b.records(); ++i) {
      if (met[i]) continue;
      ++diff_.only_in_second;
      list({DifferenceKind::kOnlyInSecond, b.info.name, b.columns.names[i], {}, {}});
    }
  }

  void compare_record(const SplitView& a, uint64_t i, ImageChecksums& images_a, const SplitView& b, uint64_t k,
                      ImageChecksums& images_b) {
    const std::string class_a = wnid_of(first_, a.columns.label[i]), class_b = wnid_of(second_, b.columns.label[k]);
    const bool other_label = class_a != class_b;
    if (other_label) {
      ++diff_.labels;
      list({DifferenceKind::kLabel, a.info.name, a.columns.names[i], class_a, class_b});
    }
    const bool other_image = a.columns.image_bytes[i] != b.columns.image_bytes[k] || images_a.of(i) != images_b.of(k);
    if (other_image) {
      ++diff_.images;
      list({DifferenceKind::kImage, a.info.name, a.columns.names[i], size_text(a.columns, i), size_text(b.columns, k)});
    }
    if (!other_label && !other_image) ++diff_.same;
  }

  void list(Difference difference) {
    if (diff_.differences.size() < options_.max_listed) diff_.differences.push_back(std::move(difference));
  }

  FileSystem& fs_;
  const Dataset& first_;
  const Dataset& second_;
  const DiffOptions& options_;
  DatasetDiff diff_;
};

std::string json_list(const std::vector<std::string>& lines) {
  std::string text = "[";
  for (const std::string& line : lines) text += (text.size() > 1 ? ", " : "") + json_quote(line);
  return text + "]";
}

}  // namespace

const char* to_string(DifferenceKind kind) {
  switch (kind) {
    case DifferenceKind::kOnlyInFirst:
      return "only_in_first";
    case DifferenceKind::kOnlyInSecond:
      return "only_in_second";
    case DifferenceKind::kLabel:
      return "label";
    case DifferenceKind::kImage:
      return "image";
  }
  return "?";
}

DatasetDiff diff_datasets(FileSystem& fs, const Dataset& first, const Dataset& second, const DiffOptions& options) {
  return Diff(fs, first, second, options).run();
}

std::string to_text(const Difference& difference) {
  const std::string record = difference.split + "/" + difference.name;
  switch (difference.kind) {
    case DifferenceKind::kOnlyInFirst:
      return "< " + record;
    case DifferenceKind::kOnlyInSecond:
      return "> " + record;
    case DifferenceKind::kLabel:
      return "label  " + record + ": " + difference.first + " and " + difference.second;
    case DifferenceKind::kImage:
      break;
  }
  return "image  " + record + ": " + difference.first + " and " + difference.second;
}

std::string to_json(const DatasetDiff& diff) {
  std::string text = std::string("{\"message_type\": \"diff\", \"same\": ") + (diff.same_content() ? "true" : "false") +
                     ", \"dataset_ids\": [" + json_quote(diff.first_id) + ", " + json_quote(diff.second_id) +
                     "], \"facts\": " + json_list(diff.facts) + ", \"options\": " + json_list(diff.options) +
                     ", \"records_same\": " + std::to_string(diff.same) +
                     ", \"only_in_first\": " + std::to_string(diff.only_in_first) +
                     ", \"only_in_second\": " + std::to_string(diff.only_in_second) +
                     ", \"labels\": " + std::to_string(diff.labels) + ", \"images\": " + std::to_string(diff.images) +
                     ", \"differences\": [";
  const char* comma = "\n  ";
  for (const Difference& one : diff.differences) {
    text += comma;
    text += std::string("{\"kind\": \"") + to_string(one.kind) + "\", \"split\": " + json_quote(one.split) +
            ", \"name\": " + json_quote(one.name) + ", \"first\": " + json_quote(one.first) +
            ", \"second\": " + json_quote(one.second) + "}";
    comma = ",\n  ";
  }
  return text + "]}\n";
}

}  // namespace imgpack
