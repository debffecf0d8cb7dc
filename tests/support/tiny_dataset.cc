#include "tests/support/tiny_dataset.h"

#include <algorithm>
#include <tuple>

#include "format/bytes.h"

namespace imgpack::test {

std::vector<std::byte> to_bytes(std::string_view text) {
  const auto bytes = as_bytes(text);
  return {bytes.begin(), bytes.end()};
}

Record make_record(std::string_view split, std::string_view name, int32_t label, std::string_view image,
                   std::string_view entropy_index) {
  Record record;
  record.meta.id = sample_id(split, name);
  record.meta.label = label;
  record.meta.width = 500;
  record.meta.height = 375 + static_cast<uint32_t>(image.size()) % 3;
  record.meta.flags = image.size() % 5 == 0 ? static_cast<uint32_t>(kRecordGray) : 0u;
  record.meta.name = name;
  record.sections.push_back({SectionType::kImage, true, to_bytes(image)});
  if (!entropy_index.empty()) record.sections.push_back({SectionType::kEntropyIndex, false, to_bytes(entropy_index)});
  return record;
}

std::vector<Record> make_records(std::string_view split, size_t count) {
  static constexpr const char* kWnids[] = {"n01440764", "n01443537", "n01484850"};
  std::vector<Record> records;
  for (size_t i = 0; i < count; ++i) {
    const std::string wnid = kWnids[i % 3];
    std::string image;
    for (size_t k = 0; k < 20 + i * 97 % 280; ++k) image.push_back(static_cast<char>(i * 31 + k * k * 7));
    const std::string entropy = i % 4 == 3 ? std::string() : std::string(5 + i % 7, static_cast<char>(i));
    records.push_back(make_record(split, wnid + "/" + wnid + "_" + std::to_string(i * 113) + ".JPEG",
                                  static_cast<int32_t>(i % 3), image, entropy));
  }
  return records;
}

void sort_by_key(std::vector<Record>& records, uint64_t seed, std::string_view split) {
  std::sort(records.begin(), records.end(), [&](const Record& a, const Record& b) {
    return std::tuple(order_key(seed, split, a.meta.name), a.meta.name) <
           std::tuple(order_key(seed, split, b.meta.name), b.meta.name);
  });
}

SplitInfo write_shards(FileSystem& fs, const std::filesystem::path& folder, SplitRecords split,
                       const TinyOptions& options, SplitColumns* columns) {
  fs.make_directories(folder);
  sort_by_key(split.records, options.seed, split.split);
  SplitInfo info{split.split, split.records.size(), split.labeled, {}};
  if (columns != nullptr) columns->split = split.split;
  auto next = split.records.begin();
  for (uint32_t s = 0; s < split.shard_count; ++s) {
    ShardWriter writer(fs, folder / shard_file_name(split.split, s),
                       {split.split, s, split.shard_count, options.seed, options.plan_id});
    while (next != split.records.end() && shard_of_key(order_key(options.seed, next->meta.id), split.shard_count) == s)
      writer.append(*next++);
    info.shards.push_back(writer.finish());
    if (columns != nullptr) columns->shards.push_back(writer.columns());
  }
  return info;
}

Manifest write_dataset(FileSystem& fs, const std::filesystem::path& folder, const std::vector<SplitRecords>& splits,
                       const TinyOptions& options) {
  Manifest manifest;
  std::vector<SplitColumns> columns(splits.size());
  for (size_t s = 0; s < splits.size(); ++s)
    manifest.splits.push_back(write_shards(fs, folder, splits[s], options, &columns[s]));
  publish_dataset_index(fs, folder, columns, manifest);
  manifest.seed = options.seed;
  manifest.plan_id = options.plan_id;
  manifest.classes = options.classes;
  manifest.created_by = "imgpack test";
  manifest.options = {{"resize", "none"}};
  manifest.provenance = {{"source", "made up"}};
  manifest.dataset_id = compute_dataset_id(manifest);
  publish_manifest(fs, folder, manifest);
  return manifest;
}

Manifest write_tiny_dataset(FileSystem& fs, const std::filesystem::path& folder) {
  return write_dataset(fs, folder,
                       {{"train", make_records("train", 40), 3, true}, {"val", make_records("val", 6), 1, true}});
}

bool same_record(const RecordView& view, const Record& record) {
  bool same = view.meta.id == record.meta.id && view.meta.label == record.meta.label &&
              view.meta.width == record.meta.width && view.meta.height == record.meta.height &&
              view.meta.flags == record.meta.flags && view.meta.name == record.meta.name &&
              view.sections.size() == record.sections.size();
  for (size_t s = 0; same && s < view.sections.size(); ++s) {
    same = view.sections[s].type == record.sections[s].type &&
           std::ranges::equal(view.sections[s].bytes, record.sections[s].bytes);
  }
  return same;
}

}  // namespace imgpack::test
