#include "format/verify.h"

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>
#include <tuple>
#include <utility>

#include "format/dataset.h"
#include "format/label_set.h"
#include "format/layout.h"
#include "format/manifest.h"
#include "format/shard_codec.h"
#include "format/verify_shard.h"

namespace imgpack {
namespace {

using Clock = std::chrono::steady_clock;

// Hands out reading time to all threads together: each read books its share and waits until its turn.
class ReadPacer {
 public:
  explicit ReadPacer(uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second), next_(Clock::now()) {}

  void wait_for(uint64_t bytes) {
    if (bytes_per_second_ == 0) return;
    Clock::time_point turn;
    {
      const std::lock_guard lock(mutex_);
      next_ = std::max(next_, Clock::now());
      turn = next_;
      next_ += std::chrono::duration_cast<Clock::duration>(
          std::chrono::duration<double>(static_cast<double>(bytes) / static_cast<double>(bytes_per_second_)));
    }
    std::this_thread::sleep_until(turn);
  }

 private:
  const uint64_t bytes_per_second_;
  std::mutex mutex_;
  Clock::time_point next_;
};

class Verifier {
 public:
  Verifier(FileSystem& fs, const std::filesystem::path& folder, const VerifyOptions& options)
      : fs_(fs), folder_(folder), options_(options), pacer_(options.bytes_per_second) {
    report_.dataset = folder;
    report_.level = options.level;
    report_.part = options.part;
    report_.parts = options.parts;
  }

  VerifyReport run() {
    const auto start = Clock::now();
    entries_ = fs_.list(folder_);
    read_manifest_and_index();
    const std::vector<ShardExpectation> shards = this_part(list_shards());
    if (!manifest_ && shards.empty() && !has_entry(kManifestFile)) {
      throw Error(ErrorKind::kIo, "there is no dataset here: expected " + std::string(kManifestFile) + " in the folder",
                  folder_, {}, "imgpack build SOURCE makes one");
    }
    check_label_sets();
    note_strangers();
    check_shards(shards);
    std::sort(report_.damages.begin(), report_.damages.end(), [](const Damage& a, const Damage& b) {
      return std::tuple(rank(a.file), a.file, a.offset, a.kind, a.record, a.message) <
             std::tuple(rank(b.file), b.file, b.offset, b.kind, b.record, b.message);
    });
    report_.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return std::move(report_);
  }

 private:
  // Files in the order in which a reader would meet them.
  static int rank(const std::string& file) { return file == kManifestFile ? 0 : file.ends_with(".ipk") ? 2 : 1; }

  bool has_entry(const std::string& name) const {
    return std::any_of(entries_.begin(), entries_.end(), [&](const DirectoryEntry& e) { return e.name == name; });
  }

  void add(Damage damage) {
    const std::lock_guard lock(mutex_);
    ++report_.counts[damage.kind];
    ++progress_.damages;
    if (report_.damages.size() < options_.max_damages) report_.damages.push_back(std::move(damage));
  }

  void read_manifest_and_index() {
    try {
      manifest_ = read_manifest(fs_, folder_);
      report_.dataset_id = manifest_->dataset_id;
    } catch (const Error& error) {
      if (has_entry(kManifestFile)) {
        add(to_damage(DamageKind::kManifest, kManifestFile, error));
      } else {
        add({DamageKind::kManifest, kManifestFile, {}, {}, "the manifest is missing", {}, {}});
      }
      return;
    }
    try {
      dataset_ = Dataset::open(fs_, folder_, ReadNames::kYes);
    } catch (const Error& error) {
      Damage damage = to_damage(DamageKind::kDatasetIndex, manifest_->index_file, error);
      add(std::move(damage));
    }
  }

  std::vector<ShardExpectation> list_shards() {
    std::vector<ShardExpectation> shards;
    if (manifest_) {
      for (const SplitInfo& split : manifest_->splits) {
        for (uint32_t s = 0; s < split.shards.size(); ++s) {
          ShardExpectation shard;
          shard.path = folder_ / split.shards[s].file;
          shard.header = {split.name, s, static_cast<uint32_t>(split.shards.size()), manifest_->seed,
                          manifest_->plan_id};
          shard.header_known = true;
          shard.summary = split.shards[s];
          shard.split = dataset_ ? &dataset_->split(split.name) : nullptr;
          shard.classes = manifest_->classes.size();
          shard.labeled = split.labeled;
          shards.push_back(std::move(shard));
        }
      }
      return shards;
    }
    // Without a manifest every shard that lies here is checked by itself; what its header should say is learnt from the
    // intact headers of its split.
    std::map<std::string, ShardHeader> learnt;
    for (const DirectoryEntry& entry : entries_) {
      const std::optional<ShardHeader> name = parse_shard_file_name(entry.name);
      if (!name) continue;
      ShardExpectation shard;
      shard.path = folder_ / entry.name;
      shard.header = *name;
      shards.push_back(std::move(shard));
      if (const auto header = intact_header(folder_ / entry.name); header && header->split == name->split)
        learnt.emplace(header->split, *header);
    }
    for (ShardExpectation& shard : shards) {
      const auto it = learnt.find(shard.header.split);
      if (it == learnt.end()) continue;
      const uint32_t number = shard.header.number;
      shard.header = it->second;
      shard.header.number = number;
      shard.header_known = true;
    }
    return shards;
  }

  std::optional<ShardHeader> intact_header(const std::filesystem::path& path) {
    try {
      const auto file = fs_.open(path);
      std::vector<std::byte> bytes(std::min<uint64_t>(file->size(), layout::kMaxFileHeaderBytes));
      read_exactly(*file, 0, bytes);
      return parse_shard_header(bytes, path).header;
    } catch (const Error&) {
      return std::nullopt;  // verify_shard() will say what is wrong with it.
    }
  }

  std::vector<ShardExpectation> this_part(std::vector<ShardExpectation> shards) const {
    std::vector<ShardExpectation> part;
    for (size_t s = options_.part - 1; s < shards.size(); s += options_.parts) part.push_back(std::move(shards[s]));
    return part;
  }

  void check_label_sets() {
    if (!manifest_) return;
    for (const LabelSetInfo& info : manifest_->label_sets) {
      try {
        const LabelSet set = read_label_set(fs_, folder_, info);
        if (!dataset_ || !dataset_->has_split(info.split)) continue;
        const SplitView& split = dataset_->split(info.split);
        if (set.labels.size() != split.records() || set.ids != ids_checksum(split.columns.id))
          add({DamageKind::kLabelSet, info.file, {}, {}, "label set belongs to other records", {}, {}});
      } catch (const Error& error) {
        add(to_damage(DamageKind::kLabelSet, info.file, error));
      }
    }
  }

  void note_strangers() {
    if (!manifest_) return;
    std::set<std::string> known{kManifestFile, manifest_->index_file};
    for (const LabelSetInfo& set : manifest_->label_sets) known.insert(set.file);
    for (const SplitInfo& split : manifest_->splits)
      for (const ShardSummary& shard : split.shards) known.insert(shard.file);
    for (const DirectoryEntry& entry : entries_) {
      if (entry.name.ends_with(kTemporarySuffix)) {
        report_.notes.push_back(entry.name + " is an unfinished file: it may be deleted");
      } else if (!known.contains(entry.name)) {
        report_.notes.push_back(entry.name + " does not belong to the dataset");
      }
    }
  }

  void check_shards(const std::vector<ShardExpectation>& shards) {
    progress_.total_shards = shards.size();
    if (options_.level != VerifyLevel::kStructure)
      for (const ShardExpectation& shard : shards) progress_.total_bytes += shard.summary ? shard.summary->bytes : 0;
    const VerifySinks sinks{
        [this](Damage damage) { add(std::move(damage)); }, [this](uint64_t bytes) { pacer_.wait_for(bytes); },
        [this](uint64_t bytes, uint64_t records, uint64_t images) { count(bytes, records, images); }};
    tbb::task_arena arena(options_.threads == 0 ? tbb::task_arena::automatic : static_cast<int>(options_.threads));
    const bool by_blocks = !options_.blocks.empty() && dataset_ && options_.level != VerifyLevel::kStructure;
    const VerifyLevel shard_level = by_blocks ? VerifyLevel::kStructure : options_.level;
    VerifySinks shard_sinks = sinks;
    if (by_blocks) shard_sinks.done = [](uint64_t, uint64_t, uint64_t) {};
    arena.execute([&] {
      tbb::parallel_for(
          tbb::blocked_range<size_t>(0, shards.size(), 1),
          [&](const tbb::blocked_range<size_t>& range) {
            for (size_t s = range.begin(); s != range.end(); ++s) {
              verify_shard(fs_, shards[s], shard_level, options_.image_check, shard_sinks);
              const std::lock_guard lock(mutex_);
              ++progress_.shards;
            }
          },
          tbb::simple_partitioner());
      if (by_blocks) check_blocks(shards, sinks);
    });
    report_.shards = progress_.shards;
    report_.records = progress_.records;
    report_.images = images_;
    report_.bytes = progress_.bytes;
  }

  // Each worker takes the next block of the list: blocks begin in order, whatever each of them costs.
  void check_blocks(const std::vector<ShardExpectation>& shards, const VerifySinks& sinks) {
    const std::vector<VerifyBlock> blocks = all_blocks(shards);
    std::atomic<size_t> next = 0;
    const int workers = tbb::this_task_arena::max_concurrency();
    tbb::parallel_for(
        0, workers,
        [&](int) {
          for (size_t b = next++; b < blocks.size(); b = next++) {
            const SplitView& split = dataset_->split(blocks[b].split);
            const uint32_t shard = split.shard[blocks[b].first_record];
            verify_block(fs_, dataset_->shard_path(split.info.name, shard), split, blocks[b].first_record,
                         blocks[b].records, options_.level, options_.image_check, sinks);
          }
        },
        tbb::simple_partitioner());
  }

  // Those that were asked for, then those of the other records; of the shards of this part that are there.
  std::vector<VerifyBlock> all_blocks(const std::vector<ShardExpectation>& shards) {
    std::map<std::string, std::vector<bool>> wanted;  // Of every split, record by record: still to be read.
    for (const SplitInfo& info : manifest_->splits) wanted[info.name].resize(info.records);
    for (const ShardExpectation& shard : shards) {
      if (!fs_.exists(shard.path)) continue;
      const SplitView& split = dataset_->split(shard.header.split);
      std::vector<bool>& flags = wanted[shard.header.split];
      const auto at = flags.begin();
      std::fill(at + static_cast<ptrdiff_t>(split.first_record[shard.header.number]),
                at + static_cast<ptrdiff_t>(split.first_record[shard.header.number + 1]), true);
    }
    std::vector<VerifyBlock> blocks;
    for (const VerifyBlock& block : options_.blocks) {
      const auto flags = wanted.find(block.split);
      if (flags != wanted.end()) add_runs(block.split, block.first_record, block.records, flags->second, blocks);
    }
    for (const SplitInfo& info : manifest_->splits) add_runs(info.name, 0, info.records, wanted[info.name], blocks);
    return blocks;
  }

  // The runs of wanted records in a range, cut at shards and after about 4 MiB; they are no longer wanted then.
  void add_runs(const std::string& name, uint64_t first, uint64_t records, std::vector<bool>& wanted,
                std::vector<VerifyBlock>& blocks) const {
    constexpr uint64_t kBlockBytes = uint64_t{4} << 20;
    const SplitView& split = dataset_->split(name);
    const uint64_t end = std::min<uint64_t>(wanted.size(), first + records);
    uint64_t bytes = 0;
    bool open = false;
    for (uint64_t i = first; i < end; ++i) {
      if (!wanted[i]) {
        open = false;
        continue;
      }
      if (!open || bytes >= kBlockBytes || split.shard[i] != split.shard[i - 1]) {
        blocks.push_back({name, i, 0});
        bytes = 0;
      }
      open = true;
      ++blocks.back().records;
      bytes += split.columns.record_bytes[i];
      wanted[i] = false;
    }
  }

  void count(uint64_t bytes, uint64_t records, uint64_t images) {
    const std::lock_guard lock(mutex_);
    progress_.bytes += bytes;
    progress_.records += records;
    images_ += images;
    if (options_.progress) options_.progress(progress_);
  }

  FileSystem& fs_;
  const std::filesystem::path folder_;
  const VerifyOptions& options_;
  ReadPacer pacer_;
  std::vector<DirectoryEntry> entries_;
  std::optional<Manifest> manifest_;
  std::optional<Dataset> dataset_;
  std::mutex mutex_;  // Guards what follows while shards are checked.
  VerifyReport report_;
  VerifyProgress progress_;
  uint64_t images_ = 0;
};

}  // namespace

VerifyReport verify_dataset(FileSystem& fs, const std::filesystem::path& dataset, const VerifyOptions& options) {
  if (options.level == VerifyLevel::kDecode && !options.image_check)
    throw Error(ErrorKind::kInternal, "verification at level decode needs an image check");
  if (options.parts == 0 || options.part == 0 || options.part > options.parts) {
    throw Error(ErrorKind::kUsage, "part " + std::to_string(options.part) + " of " + std::to_string(options.parts) +
                                       " does not exist: expected 1/1 or n/t with n from 1 to t");
  }
  return Verifier(fs, dataset, options).run();
}

}  // namespace imgpack
