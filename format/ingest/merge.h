// Parts of one build, made on different hosts, into the dataset that a single host would have made, byte for byte.
//
//   PART/part.json x n -> checked against each other -> every shard verified and copied (or moved) into OUT
//   -> dataset index -> manifest.json (last)
//
// A merge that was stopped goes on when it is called again: a shard that lies in OUT with the right digest is kept.
#pragma once

#include <atomic>
#include <filesystem>
#include <vector>

#include "format/file.h"
#include "format/ingest/builder.h"

namespace imgpack::ingest {

struct MergeOptions {
  bool move = false;  // Rename shards instead of copying them, and remove the parts at the end.
  bool lock = true;
};

// OUT.part-1-of-8 … beside OUT, whatever of them is there, in order.
std::vector<std::filesystem::path> find_parts(FileSystem& fs, const std::filesystem::path& out);

// `OUT.part-2-of-8`
std::filesystem::path part_folder(const std::filesystem::path& out, const PartSelection& part);

// Throws Error(kInvalidInput) for a part that is missing, given twice, of another plan (listing the differences) or of
// another number of parts, and for a folder that is something else; Error(kCorruption) for a part whose shard differs
// from its digest; Error(kIo); Error(kInterrupted) once `stop` is set. Parts are read only, unless moved: then each
// shard is in one place or the other at any time. Memory: 8 MiB.
BuildResult merge_parts(FileSystem& fs, const std::filesystem::path& out,
                        const std::vector<std::filesystem::path>& parts, const MergeOptions& options,
                        BuildObserver& observer, const std::atomic<bool>& stop);

}  // namespace imgpack::ingest
