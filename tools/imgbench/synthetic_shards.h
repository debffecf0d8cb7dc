// SyntheticShards is a dataset of any size that takes no room: its shards are written when somebody reads them.
//
//   publish(records) -> manifest and index on `base`      open("train-00007.ipk") -> records made up on the way
//
// Every record is the same small picture, padded with JPEG comments to the length of a photograph, under its own id,
// label and checksums. So a reader does all its work but decoding.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "format/file.h"

namespace imgbench {

// A split `train` of 1,000 classes in shards of 512 MiB. Thread-safe after publish(). Refers to `base`.
class SyntheticShards : public imgpack::FileSystem {
 public:
  // `jpeg`: a baseline picture of width x height.
  SyntheticShards(imgpack::FileSystem& base, std::filesystem::path folder, std::vector<std::byte> jpeg, uint32_t width,
                  uint32_t height);
  ~SyntheticShards() override;

  // Call once. Mean length of a record: that of ImageNet's, 110 KB.
  void publish(uint64_t records);

  std::unique_ptr<imgpack::RandomAccessFile> open(const std::filesystem::path& path) override;
  std::unique_ptr<imgpack::WritableFile> create(const std::filesystem::path& path) override {
    return base_.create(path);
  }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override { base_.rename(from, to); }
  void remove(const std::filesystem::path& path) override { base_.remove(path); }
  void make_directories(const std::filesystem::path& path) override { base_.make_directories(path); }
  void sync_directory(const std::filesystem::path& path) override { base_.sync_directory(path); }
  bool exists(const std::filesystem::path& path) override { return base_.exists(path); }
  std::vector<imgpack::DirectoryEntry> list(const std::filesystem::path& path) override { return base_.list(path); }
  uint64_t free_bytes(const std::filesystem::path& path) override { return base_.free_bytes(path); }

 private:
  struct Shard;
  class File;
  std::vector<std::byte> record_bytes(uint64_t record, uint32_t image_bytes) const;

  imgpack::FileSystem& base_;
  const std::filesystem::path folder_;
  const std::vector<std::byte> jpeg_;
  const uint32_t width_, height_;
  std::vector<std::shared_ptr<const Shard>> shards_;
};

}  // namespace imgbench
