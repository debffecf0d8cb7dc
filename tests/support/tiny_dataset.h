// Small datasets of made-up records, as verbs for tests: no JPEG is decoded in format/, any bytes will do.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "format/dataset.h"
#include "format/file.h"
#include "format/record.h"
#include "format/shard_writer.h"

namespace imgpack::test {

struct SplitRecords {
  std::string split;
  std::vector<Record> records;  // In any order.
  uint32_t shard_count = 1;
  bool labeled = true;
};

struct TinyOptions {
  uint64_t seed = 7;
  uint64_t plan_id = 0x0123456789abcdef;
  std::vector<ClassInfo> classes = {
      {"n01440764", "tench"}, {"n01443537", "goldfish"}, {"n01484850", "great white shark"}};
};

std::vector<std::byte> to_bytes(std::string_view text);

// A record whose id and facts are as a packer would set them. An empty entropy index leaves the section out.
Record make_record(std::string_view split, std::string_view name, int32_t label, std::string_view image,
                   std::string_view entropy_index = {});

// `count` training records of three classes: n01440764/n01440764_0.JPEG and so on, images of 20 to 300 bytes.
std::vector<Record> make_records(std::string_view split, size_t count);

void sort_by_key(std::vector<Record>& records, uint64_t seed, std::string_view split);

// Writes every shard of a split; returns what the manifest says of them. `columns`, if given, gets each shard's.
SplitInfo write_shards(FileSystem& fs, const std::filesystem::path& folder, SplitRecords split,
                       const TinyOptions& options, SplitColumns* columns = nullptr);

// Shards, dataset index and manifest. Returns the manifest.
Manifest write_dataset(FileSystem& fs, const std::filesystem::path& folder, const std::vector<SplitRecords>& splits,
                       const TinyOptions& options = {});

// Two splits: `train` of 40 records in 3 shards, `val` of 6 in one.
Manifest write_tiny_dataset(FileSystem& fs, const std::filesystem::path& folder);

bool same_record(const RecordView& view, const Record& record);

}  // namespace imgpack::test
