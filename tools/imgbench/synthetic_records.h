// Records like ImageNet's in everything but their pixels, for workloads that look at bytes and not at images.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "format/dataset.h"
#include "format/file.h"
#include "format/manifest.h"
#include "format/shard_index.h"

namespace imgbench {

inline constexpr uint64_t kImageNetRecords = 1'281'167;

// Index columns of `records` training images in shards of about 512 MiB, as ImageNet has them: 1,000 classes, names of
// class and number, a mean of 110 KB an image, the usual sizes in pixels, an entropy index of 1.9 KB. In key order.
imgpack::SplitColumns imagenet_like_columns(uint64_t records);

// A dataset folder of those columns: manifest and dataset index, no shard files. Returns the manifest.
imgpack::Manifest publish_without_shards(imgpack::FileSystem& fs, const std::filesystem::path& folder,
                                         const imgpack::SplitColumns& columns);

// `count` records of about 110 KB that do not compress, in the order in which shard 0 of 1 of `train` holds them.
std::vector<imgpack::Record> random_records(uint64_t count);

// A dataset of such records: one split, one shard. Returns the bytes of the shard.
uint64_t publish_random_dataset(imgpack::FileSystem& fs, const std::filesystem::path& folder,
                                const std::vector<imgpack::Record>& records);

}  // namespace imgbench
