// A whole dataset to S3 and back: shards in parallel, then the rest, the manifest last. No manifest, no dataset.
//
//   push: folder --digest on the way, multipart--> objects with their digest as a note, manifest.json
//   pull: objects --digest on the way--> NAME.tmp --fsync, rename--> NAME, manifest.json
//
// Both may be stopped or killed at any time; the same command again skips what is whole on the other side.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "format/file.h"
#include "format/remote/object_store.h"

namespace imgpack::remote {

struct TransferProgress {
  uint64_t files = 0, total_files = 0;
  uint64_t bytes = 0, total_bytes = 0;  // Those of files that were skipped count.
};

struct TransferOptions {
  uint32_t connections = 16;  // Files at once. Each needs memory for one part.
  uint64_t part_bytes =
      uint64_t{16} << 20;  // Sent and fetched at once; at least 5 MiB for S3. Grows beyond 9,000 parts.
  bool lock = true;        // Keep other pulls out of the folder; off where it is not the operating system's.
  // Called by the calling thread about ten times a second. What it throws stops the transfer and comes out of it.
  std::function<void(const TransferProgress&)> progress;
};

struct TransferReport {
  std::string dataset_id;
  uint64_t files = 0, bytes = 0;                  // Of the dataset, the manifest included.
  uint64_t skipped_files = 0, skipped_bytes = 0;  // That were there already.
};

// The note that every object carries: XXH3-64 of its bytes, 16 hexadecimal digits.
inline constexpr const char* kDigestNote = "imgpack-xxh3";

// Throws Error(kCorruption) where a local file differs from the manifest (nothing under its name is changed then),
// Error(kInvalidInput) where another dataset lies there, Error(kIo), Error(kUsage) for URLs that are not S3's.
TransferReport push_dataset(FileSystem& local, const std::filesystem::path& folder, ObjectStore& store,
                            const std::filesystem::path& url, const TransferOptions& options);

// `from` is any file system. Throws Error(kCorruption) where what came differs from the manifest even when fetched
// again, Error(kInvalidInput) where the folder holds another dataset, Error(kIo).
TransferReport pull_dataset(FileSystem& from, const std::filesystem::path& source, FileSystem& local,
                            const std::filesystem::path& folder, const TransferOptions& options);

}  // namespace imgpack::remote
