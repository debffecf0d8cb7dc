// CheckpointStore: the checkpoints of one run as files, each published whole or not at all.
//
//   checkpoints/step-000000500.weights.safetensors     \  written first, each by temporary file, sync, rename
//   checkpoints/step-000000500.optimizer.safetensors   /
//   checkpoints/step-000000500.json                       the state, with size and XXH3-64 of the files above and of
//                                                         itself; published last: without it there is no checkpoint
//   checkpoints/latest                                    text: step-000000500
//   checkpoints/best                                      the same of the one that did best in evaluation
//
// The newest one that is whole counts. A torn or damaged one is set aside as *.damaged, loudly, and the one before it
// is taken: losing one interval of work beats losing the run. Not thread-safe.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "format/file.h"

namespace imgtrain {

using Warn = std::function<void(const std::string&)>;

// What stays beside the latest ones. The newest that closes an epoch always does: a run may only be given another batch
// size there. Whether a checkpoint closes an epoch stands in its state, under position.epoch and position.batch.
struct KeepMore {
  int64_t every_epochs = 0;  // The end of every so many epochs, for good; 0: none.
  bool best = true;          // What mark_best() named.
};

class CheckpointStore {
 public:
  // `keep` of the latest stay, at least 1. Nothing is read or written yet.
  CheckpointStore(imgpack::FileSystem& fs, std::filesystem::path folder, int64_t keep, const KeepMore& more = {});

  // Where the tensors of a checkpoint lie: part `weights` -> step-….weights.safetensors.
  std::filesystem::path tensors_path(uint64_t step, const std::string& part) const;

  // Makes the folder and removes what an interrupted save left. Call once before the first publish().
  void prepare();

  // REQUIRES: the tensor files of `parts` are written and synced. Reads them back for their checksums, publishes the
  // state, then `latest`, and removes checkpoints beyond `keep`. Throws Error(kIo); earlier checkpoints are then
  // intact.
  void publish(uint64_t step, const boost::json::object& state, const std::vector<std::string>& parts);

  struct Found {
    uint64_t step = 0;
    std::filesystem::path path;  // Of the state.
    boost::json::object state;
    std::vector<std::string> parts;
  };
  // The newest checkpoint whose files are all as they were written; nullopt if there is none. Each damaged one on the
  // way is handed to `warn` with what is wrong. Throws Error(kIo), and Error(kUnsupportedVersion) for a newer
  // program's.
  // `accept`: whole ones that it refuses are passed over and left as they are.
  std::optional<Found> newest(const Warn& warn, const std::function<bool(const Found&)>& accept = {});

  // Names the best so far; it stays until another one is better. REQUIRES: a checkpoint of this step was published.
  void mark_best(uint64_t step);
  std::optional<uint64_t> best() const;  // nullopt: none was named, or it is gone.

  // Steps of all checkpoints that have a state file, ascending.
  std::vector<uint64_t> steps() const;

 private:
  Found read(uint64_t step) const;  // Throws Error(kCorruption) where anything differs.
  void set_aside(uint64_t step);
  void remove(uint64_t step);
  std::filesystem::path state_path(uint64_t step) const;
  void remove_surplus(uint64_t step);

  imgpack::FileSystem& fs_;
  std::filesystem::path folder_;
  size_t keep_;
  KeepMore more_;
  std::map<uint64_t, uint64_t> closed_epochs_;  // Step -> complete epochs, of checkpoints that close one.
};

}  // namespace imgtrain
