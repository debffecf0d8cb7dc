#include "format/ingest/output_hold.h"

#include "format/error.h"
#include "format/manifest.h"
#include "format/reindex_file.h"

namespace imgpack::ingest {
OutputHold::OutputHold(FileSystem& fs, const std::filesystem::path& out, const HoldOptions& options,
                       const std::function<void()>& before_creating,
                       const std::function<void(const std::string&)>& note)
    : fs_(fs), out_(out) {
  if (refuse_foreign() == OutputState::kNew) before_creating();
  fs_.make_directories(out_);
  if (options.lock) lock_ = std::make_unique<FolderLock>(out_);
  // Looked at again: another build may have ended since.
  found_ = refuse_foreign();
  if (options.fresh && found_ != OutputState::kNew) {
    check_is_ours(found_, note);
    remove_build(fs_, out_);
    note("removed the earlier build in " + out_.string());
    found_ = OutputState::kNew;
  }
  if (found_ == OutputState::kUnfinished && fs_.exists(out_ / kReindexStateFile)) {
    throw Error(ErrorKind::kInvalidInput, "an unfinished reindex is here: expected a build", out_, {},
                "imgpack reindex finishes it; --fresh begins a new build");
  }
  if (found_ == OutputState::kNew || found_ == OutputState::kUnfinished) remove_leftovers(fs_, out_);
  // A build that ended between its manifest and its last step.
  if (found_ == OutputState::kFinished && fs_.exists(out_ / kBuildStateFile)) {
    fs_.remove(out_ / kBuildStateFile);
    fs_.sync_directory(out_);
  }
}

OutputState OutputHold::refuse_foreign() const {
  std::string found;
  const OutputState state = look_at_output(fs_, out_, &found);
  if (state == OutputState::kForeign) {
    throw Error(ErrorKind::kInvalidInput,
                "output folder is something else: expected a new or empty folder, or an earlier build, found " + found,
                out_, {}, "name another folder");
  }
  return state;
}

// --fresh removes what can be read as ours, nothing that merely has its names.
void OutputHold::check_is_ours(OutputState found, const std::function<void(const std::string&)>& note) const {
  if (found == OutputState::kFinished) {
    try {
      read_manifest(fs_, out_);
      return;
    } catch (const Error& error) {
      note(std::string("the earlier build is damaged: ") + error.what());
    }
  }
  for (const DirectoryEntry& entry : fs_.list(out_)) {
    if (entry.name.ends_with(".ipk") || entry.name.ends_with(std::string(".ipk") + kTemporarySuffix)) return;
  }
  state();
}

std::optional<BuildState> OutputHold::state() const {
  const std::filesystem::path file = out_ / kBuildStateFile;
  if (!fs_.exists(file)) return std::nullopt;
  return read_build_state(fs_, file);
}

}  // namespace imgpack::ingest
