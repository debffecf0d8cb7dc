// From labeled images to a finished dataset.
//
//   plan -> output folder (new, resumed, left alone) -> every shard: read, normalise (TBB) -> ShardWriter -> build.json
//        -> dataset index -> manifest.json (last)
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>

#include "format/file.h"
#include "format/ingest/labeling.h"
#include "format/ingest/pack_plan.h"
#include "format/ingest/source.h"
#include "format/manifest.h"

namespace imgpack::ingest {

struct BuildOptions {
  PackOptions pack;
  bool fresh = false;           // Remove what an earlier build of ours left in the output folder.
  uint64_t max_skipped = 1000;  // More images than this that cannot be packed end the build.
  std::string created_by;       // `imgpack 0.1.0`
  bool lock = true;             // Keep other builders out of the folder; off where it is not the operating system's.
};

// What a person or a log wants to hear. Called from any thread, one call at a time per function.
class BuildObserver {
 public:
  virtual ~BuildObserver() = default;
  virtual void on_note(const std::string& note) = 0;  // A sentence.
  virtual void on_skip(const SkippedSource& skipped) = 0;
  // Packing begins: of `images`, `done` are in finished shards already.
  virtual void on_start(uint64_t images, uint64_t done) = 0;
  virtual void on_packed(uint64_t images, uint64_t source_bytes) = 0;
};

enum class BuildOutcome {
  kBuilt,
  kResumed,          // Some shards were there already.
  kAlreadyFinished,  // Nothing was done.
};

struct BuildResult {
  BuildOutcome outcome = BuildOutcome::kBuilt;
  Manifest manifest;
};

// Memory: about 400 bytes per image for names and plans, 64 MiB of images in flight and 256 MiB for decoding plus 64
// MiB of each per thread; one image that needs more is decoded alone. Throws Error(kInvalidInput) for an output folder
// that is something else or another build (listing the differences), or too many images that cannot be packed;
// Error(kIo) for a disk that is or gets full; Error(kInterrupted) once `stop` is set. Whatever happens, finished shards
// stay and the next call goes on with them.
BuildResult build(FileSystem& fs, const LabeledSource& source, ImageReader& reader, const std::filesystem::path& out,
                  const BuildOptions& options, BuildObserver& observer, const std::atomic<bool>& stop);

}  // namespace imgpack::ingest
