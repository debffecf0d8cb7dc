// Repair puts a damaged dataset back in order, from what is intact in it and, where one is given, from its source.
//
//   shard with a damaged header, index or footer   -> written anew around its records, found by their own headers
//   damaged record                                 -> packed again from the source, or taken out (accept_loss)
//   lost shard                                     -> the same for all of its records
//   dataset index                                  -> gathered from the shards
//   manifest                                       -> rebuilt from the shards; classes from names or the source
//   image that was skipped when the dataset was built -> packed after all, if the source has it in order now
//
// A shard is replaced by rename, when all that goes into it is on the disk; then the dataset index, then the manifest.
// Whatever interrupts, no intact record is lost, and the same repair again goes on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "format/file.h"
#include "format/manifest.h"
#include "format/record.h"
#include "format/shard_writer.h"

namespace imgpack {

// Where records come from anew. Not thread-safe.
class RecordSource {
 public:
  virtual ~RecordSource() = default;
  // Of all images that belong to this shard, packed or skipped, in any order.
  virtual std::vector<std::string> names(const ShardHeader& shard) = 0;
  // The record, or why there is none. Throws Error(kIo).
  virtual std::variant<Record, std::string> make(const std::string& split, const std::string& name) = 0;
  virtual const std::vector<ClassInfo>& classes() const = 0;
};

struct RepairOptions {
  RecordSource* source = nullptr;  // nullptr: repair from what is there.
  // Take records out that cannot be brought back; they are listed in the manifest as skipped. Without it their shards
  // are left as they are.
  bool accept_loss = false;
  bool dry_run = false;    // Find out and change nothing.
  std::string created_by;  // Of a manifest that is rebuilt.
  // Human names of a class, for a manifest that is rebuilt without a source. May be empty.
  std::function<std::string(const std::string& wnid)> class_names;
  // Called between shards with what is being looked at; may throw to stop.
  std::function<void(const std::string& file)> on_shard;
};

struct LostRecord {
  std::string split;
  std::string name;  // Empty: not known.
  std::string reason;
  uint64_t count = 1;  // More than 1 only where names are not known.
};

struct RepairReport {
  std::vector<std::string> done;  // What was repaired, one sentence each; with dry_run what would be.
  std::vector<std::string> left;  // What is still damaged, and why.
  std::vector<LostRecord> lost;   // Records taken out, or without accept_loss those that stand in the way.
  uint64_t shards = 0;            // Looked at.
  uint64_t rewritten = 0;         // Of them.
  uint64_t restored = 0;          // Records that were packed again.
  std::string dataset_id_before;  // Empty where the manifest was lost.
  std::string dataset_id;         // Empty where there is still none.
  bool ok() const { return left.empty(); }
};

// Memory: the dataset index, the columns of the shards, and one record. Throws Error(kInvalidInput) where there is too
// little left to start from, or the source is not that of the dataset; Error(kUnsupportedVersion) rather than touch
// what a newer version wrote; Error(kIo).
RepairReport repair_dataset(FileSystem& fs, const std::filesystem::path& dataset, const RepairOptions& options);

}  // namespace imgpack
