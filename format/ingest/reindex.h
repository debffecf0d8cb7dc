// Adds, replaces or removes the entropy indexes of a finished dataset. Images, names, labels and order stay, and with
// them the dataset id.
//
//   manifest.json --begin--> reindex.json --every shard: read, index (TBB), write, rename--> index.ipx, manifest.json
//
// While shards are being replaced there is no manifest, so nobody reads half of one state and half of the other. After
// a kill the same call goes on: reindex.json holds the manifest and which shards are done.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "format/file.h"
#include "format/manifest.h"

namespace imgpack::ingest {

struct ReindexOptions {
  int entropy_index_mcus = 16;  // As in NormaliseOptions: MCUs per entry, kEntropyIndexPerRow or kNoEntropyIndex.
  bool lock = true;             // Keep builders out of the folder; off where it is not the operating system's.
};

// Called from any thread, one call at a time per function. All may be empty.
struct ReindexCallbacks {
  std::function<void(const std::string&)> on_note;                  // A sentence.
  std::function<void(uint64_t records, uint64_t done)> on_start;    // Of `records`, `done` are in finished shards.
  std::function<void(uint64_t records, uint64_t bytes)> on_record;  // So many more are through.
};

enum class ReindexOutcome {
  kDone,
  kResumed,       // Some shards had been done by an earlier run.
  kAlreadyThere,  // Nothing was done.
};

struct ReindexResult {
  ReindexOutcome outcome = ReindexOutcome::kDone;
  Manifest manifest;
  uint64_t records = 0, with_index = 0;
};

// Needs room on the disk for one shard. Memory: 64 MiB of records in flight and 64 MiB per thread.
// Throws Error(kIo) where there is no dataset, or the disk fails or is full; Error(kCorruption) for a damaged record,
// whose shard is then untouched; Error(kInterrupted) once `stop` is set. Whatever happens, the same call goes on.
ReindexResult reindex(FileSystem& fs, const std::filesystem::path& dataset, const ReindexOptions& options,
                      const ReindexCallbacks& callbacks, const std::atomic<bool>& stop);

}  // namespace imgpack::ingest
