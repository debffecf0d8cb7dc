// Verify reads a dataset back and reports every damage it finds, not only the first.
//
//   structure   manifest, dataset index, label sets; header, footer and index of every shard; names, ids, order and
//               counts; every column of every shard's index against the dataset index
//   checksums   and every byte of every shard: records, sections, digests, records against the index
//   decode      and every image, through the ImageCheck given (format/ knows nothing of JPEG)
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/error.h"
#include "format/file.h"
#include "format/record.h"

namespace imgpack {

enum class VerifyLevel { kStructure, kChecksums, kDecode };
const char* to_string(VerifyLevel level);
std::optional<VerifyLevel> parse_verify_level(std::string_view name);

// The names of the report; never renamed.
enum class DamageKind {
  kManifest,      // Missing, unreadable or contradicting itself.
  kDatasetIndex,  // Missing, damaged, or not the manifest's.
  kLabelSet,
  kShardMissing,
  kShardSize,  // Not the manifest's.
  kShardHeader,
  kShardFooter,
  kShardIndex,     // Damaged, or other columns than the dataset index has.
  kShardIdentity,  // Whole, but not the shard that belongs here: split, number, seed, plan, content, digest.
  kRecord,         // Header or section damaged, or missing altogether.
  kRecordIndex,    // Record and index differ.
  kRecordOrder,    // Out of order, in the wrong shard, or with another's id.
  kLabel,          // Outside the class list.
  kImage,          // Checksums are right, yet it does not decode.
  kUnreadable,     // The operating system could not read it.
  kUnsupported,    // Needs a newer reader; not damage.
};
const char* to_string(DamageKind kind);

struct Damage {
  DamageKind kind = DamageKind::kManifest;
  std::string file;                // Name within the dataset folder.
  std::optional<uint64_t> offset;  // In the file.
  std::string record;              // Name, where one record is meant.
  std::string message;             // What is wrong, without expected and found.
  std::string expected, found;     // Empty where they say nothing.
};

// Returns what is wrong with the record's image, nullopt if it decodes. Called from several threads at once.
using ImageCheck = std::function<std::optional<std::string>(const RecordView&)>;

struct VerifyProgress {
  uint64_t bytes = 0, total_bytes = 0;
  uint64_t shards = 0, total_shards = 0;
  uint64_t records = 0, damages = 0;
};

// Consecutive records of one shard, in a split's global order.
struct VerifyBlock {
  std::string split;
  uint64_t first_record = 0;
  uint64_t records = 0;
};

struct VerifyOptions {
  VerifyLevel level = VerifyLevel::kDecode;
  ImageCheck image_check;         // REQUIRED at level decode.
  uint32_t threads = 0;           // 0: as many as the machine has.
  uint32_t part = 1, parts = 1;   // Only every parts-th shard, starting with number `part` (from 1).
  uint64_t bytes_per_second = 0;  // Reading speed of all threads together; 0: as fast as it goes.
  // Records in the order in which they are to be read, so that a fresh volume is warmed as training will ask for it;
  // records that no block names come last. Every shard's header, index and footer are read before them. What is missing
  // then against a reading shard by shard is the digest of whole files, all of whose parts have checksums of their own.
  // Without a readable dataset index shards are read one by one all the same. Not used at level structure.
  std::vector<VerifyBlock> blocks;
  uint64_t max_damages = 100'000;  // That the report lists one by one; the rest are counted.
  // Called by one thread at a time, after every block. What it throws stops the verification and comes out of it.
  std::function<void(const VerifyProgress&)> progress;
};

struct VerifyReport {
  std::filesystem::path dataset;
  std::string dataset_id;  // Empty where the manifest cannot be read.
  VerifyLevel level = VerifyLevel::kDecode;
  uint32_t part = 1, parts = 1;
  uint64_t shards = 0, records = 0, images = 0, bytes = 0;  // That were checked.
  double seconds = 0;
  std::map<DamageKind, uint64_t> counts;
  std::vector<Damage> damages;     // In the order of files and offsets, at most max_damages.
  std::vector<std::string> notes;  // What lies in the folder and does not belong to the dataset.

  uint64_t damage_count() const;
  bool ok() const { return counts.empty(); }
  bool only_unsupported() const;  // Nothing is damaged, but something needs a newer reader.
};

// Memory: the dataset index, and per thread one block of 4 MiB and one record. Throws Error(kIo) where there is no
// dataset at all, Error(kUsage) for options that contradict each other; damage is in the report.
VerifyReport verify_dataset(FileSystem& fs, const std::filesystem::path& dataset, const VerifyOptions& options);

// `train-00007.ipk@8192: record checksum mismatch: expected …, found … (n01440764/n01440764_10026.JPEG)`
std::string to_text(const Damage& damage);
std::string to_json(const VerifyReport& report);  // schemas/verify_report.schema.json

// An Error of this project as a damage: its message is cut at `: expected` and `, found`, as all of them are written.
Damage to_damage(DamageKind kind, std::string file, const Error& error);

}  // namespace imgpack
