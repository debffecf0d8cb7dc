// From archives to a finished dataset, in one pass over their bytes and without unpacking them.
//
//   archives -> ArchiveWalk -> normalise (TBB) -> SpillStore    names, label files -> scan, labels, plan
//                                                 \------------------------------------/ -> build() as for a folder
//
// What a folder would give is what comes out, byte for byte: the same scan, labels, plan and builder are used, only
// the images come from the spill. Which split an image is of is guessed while names are still coming; where a guess
// turns out wrong, the archives are read a second time.
//
// Extra disk while it runs: less than one shard beyond the result (spill_store.h), and with `--part i/n` one more for
// every doubling of the number of shards, since their number is known only at the end.
#pragma once

#include <atomic>
#include <filesystem>

#include "format/file.h"
#include "format/ingest/archive_source.h"
#include "format/ingest/builder.h"
#include "format/ingest/labeling.h"

namespace imgpack::ingest {

struct ArchiveBuild {
  BuildResult result;
  LabeledSource source;
};

// As build(); a build that was interrupted reads the archives again and packs only the shards that are not finished.
// Also throws what ArchiveWalk throws. Memory: that of build(), about 250 bytes more per image while names are
// compared, and 64 to 128 MiB of records per split before they are spilled.
ArchiveBuild build_archives(FileSystem& fs, const ArchiveSet& archives, const LabelOptions& labels,
                            const std::filesystem::path& out, const BuildOptions& options, BuildObserver& observer,
                            const std::atomic<bool>& stop);

// Reads names and label files only; of archives that are seekable (ArchiveSet), hardly more bytes than these.
LabeledSource label_archives(FileSystem& fs, const ArchiveSet& archives, const LabelOptions& labels,
                             BuildObserver& observer, const std::atomic<bool>& stop);

}  // namespace imgpack::ingest
