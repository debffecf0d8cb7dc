#include "tools/imgbench/synthetic_records.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>

#include "format/index_codec.h"
#include "format/layout.h"
#include "format/record.h"
#include "format/shard_writer.h"

namespace imgbench {

using namespace imgpack;

namespace {

constexpr uint64_t kSeed = 0;
constexpr uint32_t kClasses = 1000;
constexpr uint64_t kShardBytes = 512ull << 20;

std::string wnid_of(uint32_t label) {
  char text[16];
  // Spread over the range of the real ones, n01440764 to n15075141.
  std::snprintf(text, sizeof text, "n%08u", 1'440'764 + label * 13'634 + label * label % 977);
  return text;
}

struct Row {
  uint64_t key;
  RecordMeta meta;
  uint32_t image_bytes, entropy_bytes;
};

Row imagenet_like_row(uint64_t i, std::mt19937_64& random) {
  Row row;
  row.meta.label = static_cast<int32_t>(i % kClasses);
  const std::string wnid = wnid_of(static_cast<uint32_t>(row.meta.label));
  // 1,300 images a class with numbers of up to five digits, none twice: a step that 30,000 is prime to.
  row.meta.name =
      wnid + "/" + wnid + "_" + std::to_string((i / kClasses * 7919 + i % kClasses * 31) % 30'011) + ".JPEG";
  row.meta.id = sample_id("train", row.meta.name);
  const bool landscape = random() % 4 != 0;
  const bool usual = random() % 10 < 6;  // 500 x 375 and its kin make up most of ImageNet.
  const auto side = static_cast<uint32_t>(usual ? 500 : 150 + random() % 900);
  const auto other = static_cast<uint32_t>(usual ? (random() % 2 ? 375 : 333) : side * (60 + random() % 35) / 100);
  row.meta.width = landscape ? side : other;
  row.meta.height = landscape ? other : side;
  row.meta.flags = random() % 1000 < 23 ? kRecordGray : 0u;
  std::lognormal_distribution<double> bytes(std::log(95'000.0), 0.55);
  row.image_bytes = static_cast<uint32_t>(std::clamp(bytes(random), 2'000.0, 15e6));
  row.entropy_bytes = static_cast<uint32_t>(100 + row.image_bytes / 58 + random() % 64);
  row.key = order_key(kSeed, row.meta.id);
  return row;
}

uint32_t header_bytes(const RecordMeta& meta) {
  return static_cast<uint32_t>(layout::record_header::kFixedBytes + 2 * layout::section_entry::kBytes +
                               meta.name.size() + layout::record_header::kChecksumBytes);
}

Manifest publish_manifest_of(FileSystem& fs, const std::filesystem::path& folder, SplitInfo split,
                             const SplitColumns& columns) {
  Manifest manifest;
  publish_dataset_index(fs, folder, {columns}, manifest);
  manifest.seed = kSeed;
  manifest.created_by = "imgbench";
  for (uint32_t c = 0; c < kClasses; ++c) manifest.classes.push_back({wnid_of(c), ""});
  manifest.splits.push_back(std::move(split));
  manifest.dataset_id = compute_dataset_id(manifest);
  publish_manifest(fs, folder, manifest);
  return manifest;
}

}  // namespace

SplitColumns imagenet_like_columns(uint64_t records) {
  std::mt19937_64 random(1);
  std::vector<Row> rows;
  rows.reserve(records);
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < records; ++i) {
    rows.push_back(imagenet_like_row(i, random));
    bytes += header_bytes(rows.back().meta) + rows.back().image_bytes + rows.back().entropy_bytes;
  }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.key < b.key; });
  const auto shards = static_cast<uint32_t>(std::max<uint64_t>(1, (bytes + kShardBytes / 2) / kShardBytes));
  SplitColumns columns{"train", std::vector<IndexColumns>(shards)};
  for (const Row& row : rows) {
    columns.shards[shard_of_key(row.key, shards)].append(
        row.meta, header_bytes(row.meta) + row.image_bytes + row.entropy_bytes, row.image_bytes, row.entropy_bytes);
  }
  return columns;
}

Manifest publish_without_shards(FileSystem& fs, const std::filesystem::path& folder, const SplitColumns& columns) {
  SplitInfo split{"train", 0, true, {}};
  for (uint32_t s = 0; s < columns.shards.size(); ++s) {
    ShardSummary shard;
    shard.file = shard_file_name("train", s);
    shard.records = columns.shards[s].size();
    shard.index_offset = record_offsets(columns.shards[s], layout::shard_header::kBytes).back();
    shard.bytes = shard.index_offset + layout::shard_footer::kBytes;
    split.records += shard.records;
    split.shards.push_back(shard);
  }
  return publish_manifest_of(fs, folder, std::move(split), columns);
}

std::vector<Record> random_records(uint64_t count) {
  std::mt19937_64 random(2);
  std::vector<Record> records;
  for (uint64_t i = 0; i < count; ++i) {
    const Row row = imagenet_like_row(i, random);
    Record record{row.meta, {{SectionType::kImage, true, {}}, {SectionType::kEntropyIndex, false, {}}}};
    for (Section& section : record.sections) {
      section.bytes.resize(section.type == SectionType::kImage ? row.image_bytes : row.entropy_bytes);
      for (size_t k = 0; k + 8 <= section.bytes.size(); k += 8) {
        const uint64_t word = random();
        std::copy_n(reinterpret_cast<const std::byte*>(&word), 8, section.bytes.begin() + static_cast<ptrdiff_t>(k));
      }
    }
    records.push_back(std::move(record));
  }
  std::sort(records.begin(), records.end(),
            [](const Record& a, const Record& b) { return order_key(kSeed, a.meta.id) < order_key(kSeed, b.meta.id); });
  return records;
}

uint64_t publish_random_dataset(FileSystem& fs, const std::filesystem::path& folder,
                                const std::vector<Record>& records) {
  fs.make_directories(folder);
  ShardWriter writer(fs, folder / shard_file_name("train", 0), {"train", 0, 1, kSeed, 0});
  for (const Record& record : records) writer.append(record);
  const ShardSummary shard = writer.finish();
  publish_manifest_of(fs, folder, {"train", shard.records, true, {shard}}, {"train", {writer.columns()}});
  return shard.bytes;
}

}  // namespace imgbench
