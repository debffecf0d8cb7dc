#include "format/ingest/output_folder.h"

#include <algorithm>
#include <string_view>

#include "format/dataset.h"
#include "format/folder_lock.h"
#include "format/ingest/build_state.h"
#include "format/ingest/part_manifest.h"
#include "format/ingest/spill_store.h"
#include "format/manifest.h"
#include "format/reindex_file.h"

namespace imgpack::ingest {
namespace {

bool ends_with(std::string_view text, std::string_view ending) {
  return text.size() >= ending.size() && text.substr(text.size() - ending.size()) == ending;
}

bool is_temporary(std::string_view name);

bool is_ours(std::string_view name) {
  if (name == kManifestFile || name == kBuildStateFile || name == kLockFile || name == kDatasetIndexFile ||
      name == kReindexStateFile)
    return true;
  if (is_temporary(name)) return true;
  if (name == kPartFile || ends_with(name, kSpillEnding)) return true;
  return ends_with(name, ".ipk") || (name.substr(0, 7) == "labels-" && ends_with(name, ".json"));
}

bool is_temporary(std::string_view name) {
  if (!ends_with(name, kTemporarySuffix)) return false;
  const std::string_view target = name.substr(0, name.size() - std::string_view(kTemporarySuffix).size());
  return !target.empty() && !ends_with(target, kTemporarySuffix) && is_ours(target);
}

}  // namespace

OutputState look_at_output(FileSystem& fs, const std::filesystem::path& out, std::string* found) {
  if (!fs.exists(out)) return OutputState::kNew;
  bool manifest = false, state = false, part = false, shards = false, ours = false;
  std::string foreign;
  for (const DirectoryEntry& entry : fs.list(out)) {
    if (entry.is_directory || !is_ours(entry.name)) {
      if (foreign.empty()) foreign = "'" + entry.name + "'";
      continue;
    }
    ours = ours || entry.name != kLockFile;
    manifest = manifest || entry.name == kManifestFile;
    state = state || entry.name == kBuildStateFile;
    part = part || entry.name == kPartFile;
    shards = shards || ends_with(entry.name, ".ipk");
  }
  // Other programs call files manifest.json too.
  if (manifest && shards) return OutputState::kFinished;
  if (part && !state && !manifest && foreign.empty()) return OutputState::kFinishedPart;
  if (state) return OutputState::kUnfinished;
  if (manifest && foreign.empty()) foreign = "'manifest.json' without shards";
  if (!foreign.empty()) {
    if (found != nullptr) *found = foreign;
    return OutputState::kForeign;
  }
  return ours ? OutputState::kUnfinished : OutputState::kNew;
}

void remove_build(FileSystem& fs, const std::filesystem::path& out) {
  fs.remove(out / kManifestFile);
  fs.remove(out / kPartFile);
  fs.sync_directory(out);
  for (const DirectoryEntry& entry : fs.list(out)) {
    if (!entry.is_directory && is_ours(entry.name) && entry.name != kLockFile) fs.remove(out / entry.name);
  }
}

void remove_leftovers(FileSystem& fs, const std::filesystem::path& out) {
  for (const DirectoryEntry& entry : fs.list(out)) {
    if (!entry.is_directory && is_temporary(entry.name)) fs.remove(out / entry.name);
  }
}

}  // namespace imgpack::ingest
