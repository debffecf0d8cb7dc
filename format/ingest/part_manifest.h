// part.json: what one host of a `--part i/n` build made. Written last, by rename; `imgpack merge` reads it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "format/file.h"
#include "format/ingest/finish_dataset.h"
#include "format/ingest/part_selection.h"

namespace imgpack::ingest {

inline constexpr const char* kPartFile = "part.json";

struct PartManifest {
  PartSelection part;
  DatasetFrame frame;   // The whole dataset's: the same in every part.
  BuildState finished;  // The shards of this part, in order; plan id and facts as in build.json.
};

std::string to_json(const PartManifest& part);
// Throws Error(kCorruption) naming the place, Error(kUnsupportedVersion).
PartManifest parse_part_manifest(std::string_view text, const std::filesystem::path& path);
// Throws Error(kIo) where there is none.
PartManifest read_part_manifest(FileSystem& fs, const std::filesystem::path& folder);

}  // namespace imgpack::ingest
