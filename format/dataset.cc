#include "format/dataset.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <tbb/parallel_for.h>

#include <utility>

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/dataset_index.h"
#include "format/error.h"
#include "format/layout.h"
#include "format/shard_reader.h"

namespace imgpack {
namespace {

constexpr const char* kRepairHint = "imgpack repair DIR rebuilds the dataset index from the shards";

// Reads as much of the index as is wanted and checks that it is the manifest's.
std::vector<IndexColumns> read_index(FileSystem& fs, const std::filesystem::path& path, const Manifest& manifest,
                                     ReadNames names) {
  if (!fs.exists(path)) throw Error(ErrorKind::kCorruption, "the dataset index is missing", path, {}, kRepairHint);
  const auto file = fs.open(path);
  if (file->size() != manifest.index_bytes) {
    throw Error(ErrorKind::kCorruption,
                "dataset index has the wrong length: expected " + std::to_string(manifest.index_bytes) +
                    " bytes, found " + std::to_string(file->size()),
                path, {}, kRepairHint);
  }
  std::vector<std::byte> bytes(names == ReadNames::kYes ? manifest.index_bytes : manifest.index_plan_bytes);
  read_exactly(*file, 0, bytes);
  const DatasetIndexHead head = parse_dataset_index_head(bytes, manifest.index_bytes, path);
  if (!same_checksum(manifest.index_digest, head.digest)) {
    throw Error(ErrorKind::kCorruption,
                "dataset index is another dataset's: expected digest " + to_hex(manifest.index_digest) + ", found " +
                    to_hex(head.digest),
                path, {}, kRepairHint);
  }
  bool same = head.splits.size() == manifest.splits.size();
  for (size_t s = 0; same && s < head.splits.size(); ++s) {
    const SplitInfo& split = manifest.splits[s];
    same = head.splits[s].name == split.name && head.splits[s].shard_records.size() == split.shards.size();
    for (size_t i = 0; same && i < split.shards.size(); ++i)
      same = head.splits[s].shard_records[i] == split.shards[i].records;
  }
  if (!same)
    throw Error(ErrorKind::kCorruption, "dataset index and manifest differ in splits or records per shard", path, {},
                kRepairHint);
  return decode_dataset_index(head, bytes, names, path);
}

SplitView make_view(const SplitInfo& info, IndexColumns columns, const std::filesystem::path& index_path) {
  SplitView view;
  view.info = info;
  view.columns = std::move(columns);
  view.shard.reserve(view.columns.size());
  view.offset.reserve(view.columns.size());
  view.first_record.push_back(0);
  for (uint32_t s = 0; s < info.shards.size(); ++s) {
    const uint64_t begin = view.first_record.back(), end = begin + info.shards[s].records;
    uint64_t record_bytes = 0;
    for (uint64_t i = begin; i < end; ++i) record_bytes += view.columns.record_bytes[i];
    // The first record follows the header, whose length only the shard knows; the last one ends where its index starts.
    const uint64_t index_offset = info.shards[s].index_offset;
    if (record_bytes > index_offset || index_offset - record_bytes < layout::shard_header::kBytes ||
        index_offset - record_bytes > layout::kMaxFileHeaderBytes) {
      throw Error(ErrorKind::kCorruption,
                  "record lengths of " + info.shards[s].file +
                      " in the dataset index do not fill the shard: expected " + std::to_string(index_offset) +
                      " bytes, found " + std::to_string(record_bytes + layout::shard_header::kBytes),
                  index_path, {}, kRepairHint);
    }
    uint64_t offset = index_offset - record_bytes;
    for (uint64_t i = begin; i < end; ++i) {
      view.shard.push_back(s);
      view.offset.push_back(offset);
      offset += view.columns.record_bytes[i];
    }
    view.first_record.push_back(end);
  }
  return view;
}

// Labels become positions in tensors: one that is out of range must not get that far.
void check_labels(const SplitView& view, size_t classes, const std::filesystem::path& index_path) {
  const int64_t least = view.info.labeled ? 0 : kNoLabel;
  const int64_t most = view.info.labeled ? static_cast<int64_t>(classes) - 1 : kNoLabel;
  for (const int32_t label : view.columns.label) {
    if (label < least || label > most) {
      throw Error(ErrorKind::kCorruption,
                  "label out of range in split '" + view.info.name + "': expected " + std::to_string(least) + " to " +
                      std::to_string(most) + ", found " + std::to_string(label),
                  index_path);
    }
  }
}

}  // namespace

Dataset Dataset::open(FileSystem& fs, const std::filesystem::path& folder, ReadNames names) {
  Dataset dataset;
  dataset.folder_ = folder;
  dataset.manifest_ = read_manifest(fs, folder);
  const std::filesystem::path index_path = folder / dataset.manifest_.index_file;
  std::vector<IndexColumns> columns = read_index(fs, index_path, dataset.manifest_, names);
  for (size_t s = 0; s < columns.size(); ++s) {
    dataset.splits_.push_back(make_view(dataset.manifest_.splits[s], std::move(columns[s]), index_path));
    check_labels(dataset.splits_.back(), dataset.manifest_.classes.size(), index_path);
  }
  columns = {};
#ifdef __GLIBC__
  // Decoding a million rows takes as much again for a moment, and glibc would keep what was freed (46 MiB measured).
  malloc_trim(0);
#endif
  return dataset;
}

bool Dataset::has_split(std::string_view name) const {
  for (const SplitView& split : splits_)
    if (split.info.name == name) return true;
  return false;
}

const SplitView& Dataset::split(std::string_view name) const {
  std::string there;
  for (const SplitView& split : splits_) {
    if (split.info.name == name) return split;
    there += (there.empty() ? "" : ", ") + split.info.name;
  }
  throw Error(ErrorKind::kInvalidInput,
              "the dataset has no split '" + std::string(name) + "': expected one of: " + there, folder_);
}

std::filesystem::path Dataset::shard_path(std::string_view split_name, uint32_t shard) const {
  return folder_ / split(split_name).info.shards.at(shard).file;
}

void publish_dataset_index(FileSystem& fs, const std::filesystem::path& folder, const EncodedDatasetIndex& index,
                           Manifest& manifest) {
  publish(fs, folder / kDatasetIndexFile, index.bytes);
  manifest.index_file = kDatasetIndexFile;
  manifest.index_bytes = index.bytes.size();
  manifest.index_plan_bytes = index.plan_bytes;
  manifest.index_digest = index.digest;
}

void publish_dataset_index(FileSystem& fs, const std::filesystem::path& folder, const std::vector<SplitColumns>& splits,
                           Manifest& manifest) {
  publish_dataset_index(fs, folder, encode_dataset_index(splits), manifest);
}

std::vector<SplitColumns> read_shard_columns(FileSystem& fs, const std::filesystem::path& folder,
                                             const Manifest& manifest) {
  std::vector<SplitColumns> splits;
  for (const SplitInfo& split : manifest.splits) {
    SplitColumns columns{split.name, std::vector<IndexColumns>(split.shards.size())};
    tbb::parallel_for(size_t{0}, split.shards.size(), [&](size_t number) {
      columns.shards[number] = ShardReader(fs, folder / split.shards[number].file).columns();
    });
    splits.push_back(std::move(columns));
  }
  return splits;
}

}  // namespace imgpack
