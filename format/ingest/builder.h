// From labeled images to a finished dataset.
//
//   plan -> output folder (new, resumed, left alone) -> every shard: read, normalise (TBB) -> ShardWriter -> build.json
//        -> dataset index -> manifest.json (last)
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>

#include "format/file.h"
#include "format/ingest/labeling.h"
#include "format/ingest/output_hold.h"
#include "format/ingest/pack_plan.h"
#include "format/ingest/part_selection.h"
#include "format/ingest/source.h"
#include "format/manifest.h"
#include "format/shard_writer.h"

namespace imgpack::ingest {

struct BuildOptions {
  PackOptions pack;
  bool fresh = false;           // Remove what an earlier build of ours left in the output folder.
  uint64_t max_skipped = 1000;  // More images than this that cannot be packed end the build.
  std::string created_by;       // `imgpack 0.1.0`
  bool lock = true;             // Keep other builders out of the folder; off where it is not the operating system's.
  std::optional<PartSelection> part;  // Pack only this share of the shards, for merge.
};

// What a person or a log wants to hear. Called from any thread, one call at a time per function.
class BuildObserver {
 public:
  virtual ~BuildObserver() = default;
  virtual void on_note(const std::string& note) = 0;  // A sentence.
  virtual void on_skip(const SkippedSource& skipped) = 0;
  // An archive is read through: `bytes` of it in all, and so many more of them, with one more image or none, are past.
  virtual void on_reading(uint64_t /*bytes*/) {}
  virtual void on_read(uint64_t /*bytes*/, uint64_t /*images*/) {}
  // An archive has been read: what was in it, before it is packed. A folder's caller knows that beforehand.
  virtual void on_source(const LabeledSource& /*source*/) {}
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
  Manifest manifest;  // Of a part: of its shards only, without index and id.
};

// Memory: about 400 bytes per image for names and plans, 64 MiB of images in flight and 256 MiB for decoding plus 64
// MiB of each per thread; one image that needs more is decoded alone. Throws Error(kInvalidInput) for an output folder
// that is something else or another build (listing the differences), or too many images that cannot be packed;
// Error(kIo) for a disk that is or gets full; Error(kInterrupted) once `stop` is set. Whatever happens, finished shards
// stay and the next call goes on with them.
BuildResult build(FileSystem& fs, const LabeledSource& source, ImageReader& reader, const std::filesystem::path& out,
                  const BuildOptions& options, BuildObserver& observer, const std::atomic<bool>& stop);

// The same in a folder that is held already.
BuildResult build(FileSystem& fs, const LabeledSource& source, ImageReader& reader, const std::filesystem::path& out,
                  const OutputHold& hold, const BuildOptions& options, BuildObserver& observer,
                  const std::atomic<bool>& stop);

// The header of a finished shard that is still there, of this plan and readable as far as its index (bytes that changed
// since are verify's to find), or a sentence that says why it is packed again.
std::variant<ShardHeader, std::string> intact_header(FileSystem& fs, const std::filesystem::path& out,
                                                     const FinishedShard& shard, uint64_t plan_id);

// plan_facts(), and which part this is where it is one: what two builds in one folder are compared by.
std::map<std::string, std::string> build_facts(const PackPlan& plan, const BuildOptions& options);

// Throws Error(kIo) where the disk of `out`, which need not be there yet, has less than `needed` bytes free.
void require_free_bytes(FileSystem& fs, const std::filesystem::path& out, uint64_t needed);

// Of shards that hold `source_bytes` as they are: the same, headers and an index. nullopt: images are made anew, and
// nobody knows.
std::optional<uint64_t> expected_shard_bytes(const PackOptions& options, uint64_t source_bytes);

}  // namespace imgpack::ingest
