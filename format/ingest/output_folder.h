// The folder that a build writes to: what is there now, and what of it may be removed.
#pragma once

#include <filesystem>
#include <string>

#include "format/file.h"

namespace imgpack::ingest {

enum class OutputState {
  kNew,           // Absent, or an empty folder.
  kUnfinished,    // Has a build state, or shards or temporary files, and no manifest.
  kFinished,      // Has a manifest and shards.
  kFinishedPart,  // Has a part.json and no manifest: a `--part` build's.
  kForeign,       // Has something else in it.
};

// `found`, where given, is set to the name of something that is not ours. Throws Error(kIo) where `out` is no folder.
OutputState look_at_output(FileSystem& fs, const std::filesystem::path& out, std::string* found = nullptr);

// Removes everything that a build of ours made, the manifest first; leaves what is not ours.
void remove_build(FileSystem& fs, const std::filesystem::path& out);

// Removes temporary files that a killed build left.
void remove_leftovers(FileSystem& fs, const std::filesystem::path& out);

}  // namespace imgpack::ingest
