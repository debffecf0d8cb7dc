// The output folder while a build or merge has it: looked at, locked, cleared if asked to, swept of temporary files.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "format/file.h"
#include "format/folder_lock.h"
#include "format/ingest/build_state.h"
#include "format/ingest/output_folder.h"

namespace imgpack::ingest {

struct HoldOptions {
  bool fresh = false;  // Remove what an earlier build of ours left.
  bool lock = true;    // Keep other builders out; off where the folder is not the operating system's.
};

// Throws Error(kInvalidInput) for a folder that is something else, Error(kIo).
class OutputHold {
 public:
  // `before_creating` is called before anything is written, where there is no such folder yet. `note` says what was
  // removed.
  OutputHold(FileSystem& fs, const std::filesystem::path& out, const HoldOptions& options,
             const std::function<void()>& before_creating, const std::function<void(const std::string&)>& note);

  // What was found and is still there: kNew after everything was removed.
  OutputState found() const { return found_; }
  // Of an unfinished build; nullopt: it has none.
  std::optional<BuildState> state() const;

 private:
  OutputState refuse_foreign() const;
  void check_is_ours(OutputState found, const std::function<void(const std::string&)>& note) const;

  FileSystem& fs_;
  const std::filesystem::path out_;
  OutputState found_ = OutputState::kNew;
  std::unique_ptr<FolderLock> lock_;
};

}  // namespace imgpack::ingest
