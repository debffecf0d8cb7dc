// What a build will take, before it writes anything: a few images are packed for a try, the rest is proportion.
#pragma once

#include <cstdint>
#include <optional>

#include "format/file.h"
#include "format/ingest/archive_source.h"
#include "format/ingest/pack_plan.h"
#include "format/ingest/source.h"

namespace imgpack::ingest {

// Images that were read and prepared as build would, one after another on one thread.
struct PackTrial {
  uint64_t images = 0;
  uint64_t source_bytes = 0;
  uint64_t packed_bytes = 0;  // Of their records.
  double seconds = 0;
};

// At most so many images, spread over all splits, and about one second. Those that cannot be packed are passed over.
inline constexpr uint64_t kTrialImages = 64;
PackTrial try_images(const SourceScan& scan, ImageReader& reader, const PackOptions& options);
// The first of the archives; reads no further.
PackTrial try_archive(FileSystem& fs, const ArchiveSet& archives, const PackOptions& options);

struct BuildSize {
  uint64_t images = 0;        // 0: not known.
  uint64_t source_bytes = 0;  // Of images, or of compressed archives, which is about the same for JPEGs.
  uint64_t splits = 1;
  bool is_archive = false;
};

struct BuildEstimate {
  uint64_t disk_bytes = 0;        // Of the finished dataset.
  uint64_t extra_disk_bytes = 0;  // On top while it is built, at most.
  uint64_t memory_bytes = 0;      // At most, while no image is larger than the decoding budget.
  std::optional<double> seconds;  // Of packing, where the disk keeps up; nullopt: no image could be tried.
};

// A pure function.
BuildEstimate estimate_build(const BuildSize& size, const PackTrial& trial, const PackOptions& options,
                             uint32_t threads);

}  // namespace imgpack::ingest
