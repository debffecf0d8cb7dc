// RunFolder: one run on disk, and the rules by which the same command again goes on with it.
//
//   runs/r1/config.json          the resolved configuration; may be given back as --config
//   runs/r1/run.json             what the run is: data set, recipe, program. Published when the run begins
//   runs/r1/metrics.csv  metrics.jsonl
//   runs/r1/plots/               its charts, drawn before the result is published
//   runs/r1/checkpoints/         checkpoint_store.h
//   runs/r1/weights.safetensors  the final weights, under torchvision's names
//   runs/r1/result.json          published last: a run that has it is finished
#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/train/run/run_config.h"
#include "format/file.h"

namespace imgtrain {

enum class RunStatus { kNew, kUnfinished, kFinished };

// What a run is of. Two commands with the same identity are the same run.
struct RunIdentity {
  RunConfig config;
  std::string recipe;
  std::string dataset_id;
  std::string created_by;
};

class RunFolder {
 public:
  // Opens or makes the folder and holds it until destruction, so that two programs never write one run. Throws
  // Error(kInvalidInput) if it is something else than a run folder or another program holds it, Error(kIo).
  RunFolder(imgpack::FileSystem& fs, std::filesystem::path folder);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  RunStatus status() const { return status_; }
  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }
  std::filesystem::path weights() const { return folder_ / "weights.safetensors"; }

  // Throws Error(kUsage) that lists what differs between the run that is here and the one asked for.
  void require_same(const RunIdentity& asked) const;

  // For --extend: what differs, if --extend covers all of it. Throws Error(kUsage) that lists what it does not.
  std::vector<std::string> extension(const RunIdentity& asked) const;
  // Makes the run in the folder one of this configuration; a finished one is unfinished from here on.
  void extend(const RunIdentity& identity);

  void begin(const RunIdentity& identity);         // REQUIRES: status() == kNew.
  void finish(const boost::json::object& result);  // The run is complete from here on.
  boost::json::object result() const;              // REQUIRES: status() == kFinished.
  void publish_csv(const std::string& metrics_csv) const;

 private:
  void lock();
  std::vector<std::string> dataset_difference(const RunIdentity& asked) const;
  [[noreturn]] void refuse(const std::vector<std::string>& other, const std::vector<std::string>& changed,
                           const std::string& hint) const;

  imgpack::FileSystem& fs_;
  std::filesystem::path folder_;
  RunStatus status_ = RunStatus::kNew;
  int lock_descriptor_ = -1;
};

// Reads config.json of a run, for commands that only look at it. Throws Error(kInvalidInput) where there is no run.
RunConfig read_run_config(imgpack::FileSystem& fs, const std::filesystem::path& folder);

// For --fresh: `folder` itself if nothing is there, else the first of folder-2, folder-3 … that does not exist.
std::filesystem::path fresh_folder(imgpack::FileSystem& fs, const std::filesystem::path& folder);

}  // namespace imgtrain
