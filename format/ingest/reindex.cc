#include "format/ingest/reindex.h"

#include <tbb/enumerable_thread_specific.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "format/dataset.h"
#include "format/error.h"
#include "format/folder_lock.h"
#include "format/ingest/build_state.h"
#include "format/ingest/in_order_pipeline.h"
#include "format/ingest/memory_budget.h"
#include "format/ingest/output_folder.h"
#include "format/ingest/pack_plan.h"
#include "format/ingest/thread_limit.h"
#include "format/jpeg/entropy_index.h"
#include "format/reindex_file.h"
#include "format/shard_reader.h"

namespace imgpack::ingest {
namespace {

using std::filesystem::path;

constexpr uint64_t kMiB = 1ull << 20;
constexpr const char* kOptionKey = "entropy_index";
constexpr const char* kManifestKey = "manifest";  // Its text, in the state's facts.

// A record on its way from the old shard to the new one.
struct Item {
  uint64_t number = 0;
  uint64_t bytes = 0;
  MemoryBudget::Lease in_flight;
  Record record;
};

class Reindex {
 public:
  Reindex(FileSystem& fs, const path& folder, const ReindexOptions& options, const ReindexCallbacks& callbacks,
          const std::atomic<bool>& stop)
      : fs_(fs),
        folder_(folder),
        state_file_(folder / kReindexStateFile),
        options_(options),
        wanted_(entropy_index_name(options.entropy_index_mcus)),
        callbacks_(callbacks),
        stop_(stop),
        in_flight_(64 * kMiB * (1 + threads_in_use())) {}

  ReindexResult run() {
    if (!fs_.exists(state_file_)) read_manifest(fs_, folder_);  // Says what is missing before a lock file is made.
    if (options_.lock) lock_ = std::make_unique<FolderLock>(folder_);
    ReindexResult result;
    if (!begin()) {
      result.outcome = ReindexOutcome::kAlreadyThere;
      count_records(result);
      return result;
    }
    remove_leftovers(fs_, folder_);
    if (!state_.finished.empty()) result.outcome = ReindexOutcome::kResumed;
    start_counting();
    for (SplitInfo& split : manifest_.splits) {
      for (uint32_t number = 0; number < split.shards.size(); number++) {
        ShardSummary& summary = split.shards[number];
        if (const FinishedShard* finished = state_.find(split.name, number)) {
          summary = finished->summary;
          continue;
        }
        const ShardSummary before = std::exchange(summary, rewrite(summary));
        if (summary.content != before.content || summary.records != before.records)
          throw Error(ErrorKind::kInternal, "reindexing changed the content of a shard", folder_ / summary.file);
        state_.finished.push_back({split.name, number, summary, {}});
        publish_state();
      }
    }
    finish();
    count_records(result);
    return result;
  }

 private:
  // Takes over what an earlier run left, or turns the manifest into the state. False: there is nothing to do.
  bool begin() {
    if (fs_.exists(state_file_)) {
      state_ = read_build_state(fs_, state_file_);
      manifest_ = parse_manifest(state_.facts[kManifestKey], state_file_);
      const std::string begun = state_.facts[kOptionKey];
      if (begun == wanted_) {
        note("going on with an unfinished run: " + std::to_string(state_.finished.size()) + " shards are done");
      } else {
        // Any mixture can be indexed anew.
        note("an unfinished run to " + begun + " is here: all shards are done again, to " + wanted_);
        state_.finished.clear();
        state_.facts[kOptionKey] = wanted_;
        publish_state();
      }
    } else {
      manifest_ = read_manifest(fs_, folder_);
      if (manifest_.options[kOptionKey] == wanted_) return false;
      check_space();
      state_.plan_id = manifest_.plan_id;
      state_.created_by = manifest_.created_by;
      state_.facts = {{kOptionKey, wanted_}, {kManifestKey, imgpack::to_json(manifest_)}};
      publish_state();
    }
    fs_.remove(folder_ / kManifestFile);
    fs_.sync_directory(folder_);
    return true;
  }

  void check_space() const {
    uint64_t largest = 0;
    for (const SplitInfo& split : manifest_.splits) {
      for (const ShardSummary& shard : split.shards) largest = std::max(largest, shard.bytes);
    }
    const uint64_t needed = largest + largest / 16, free = fs_.free_bytes(folder_);
    if (free >= needed) return;
    throw Error(ErrorKind::kIo,
                "not enough space on this disk: expected room for one shard, " + std::to_string(needed / kMiB) +
                    " MiB, found " + std::to_string(free / kMiB) + " MiB free",
                folder_, {}, "free some space; nothing was changed");
  }

  void publish_state() { publish(fs_, state_file_, to_json(state_)); }

  void note(const std::string& text) const {
    if (callbacks_.on_note) callbacks_.on_note(text);
  }

  void start_counting() const {
    uint64_t records = 0, done = 0;
    for (const SplitInfo& split : manifest_.splits) records += split.records;
    for (const FinishedShard& shard : state_.finished) done += shard.summary.records;
    if (callbacks_.on_start) callbacks_.on_start(records, done);
  }

  // The shard with its new indexes, in place of the old one.
  ShardSummary rewrite(const ShardSummary& summary) {
    const ShardReader reader(fs_, folder_ / summary.file);
    ShardWriter writer(fs_, folder_ / summary.file, reader.header());
    uint64_t next = 0;
    const auto take = [&]() -> std::unique_ptr<Item> {
      if (next == reader.records() || stop_.load(std::memory_order_relaxed)) return nullptr;
      auto item = std::make_unique<Item>();
      item->number = next++;
      item->bytes = reader.columns().record_bytes[item->number];
      item->in_flight = in_flight_.acquire(2 * item->bytes);
      return item;
    };
    const auto index = [&](Item& item) { item.record = indexed(reader, item.number); };
    const auto commit = [&](const Item& item) {
      writer.append(item.record);
      if (callbacks_.on_record) callbacks_.on_record(1, item.bytes);
    };
    run_in_order<Item>(in_flight_, take, index, commit);
    if (stop_) {
      throw Error(
          ErrorKind::kInterrupted,
          "stopped: " + std::to_string(state_.finished.size()) + " shards are done, run the same command to go on",
          folder_);
    }
    return writer.finish();
  }

  // Everything of the old record but its entropy index, and what a build would have added.
  Record indexed(const ShardReader& reader, uint64_t number) {
    std::vector<std::byte> buffer;
    const RecordView view = reader.read(number, buffer);
    Record record;
    record.meta = view.meta;
    for (const SectionView& section : view.sections) {
      if (section.type == SectionType::kEntropyIndex) continue;
      record.sections.push_back({section.type, section.must_understand, {section.bytes.begin(), section.bytes.end()}});
      if (section.type != SectionType::kImage || options_.entropy_index_mcus == kNoEntropyIndex) continue;
      auto index = builders_.local().build(section.bytes, options_.entropy_index_mcus);
      if (index) {
        record.meta.flags &= ~uint32_t{kRecordReferenceOnly};
        record.sections.push_back({SectionType::kEntropyIndex, false, std::move(*index)});
      } else {
        record.meta.flags |= kRecordReferenceOnly;
      }
    }
    return record;
  }

  void finish() {
    publish_dataset_index(fs_, folder_, read_shard_columns(fs_, folder_, manifest_), manifest_);
    manifest_.options[kOptionKey] = wanted_;
    publish_manifest(fs_, folder_, manifest_);
    fs_.remove(state_file_);
    fs_.sync_directory(folder_);
  }

  void count_records(ReindexResult& result) const {
    result.manifest = manifest_;
    const Dataset dataset = Dataset::open(fs_, folder_);
    for (const SplitInfo& split : manifest_.splits) {
      const IndexColumns& columns = dataset.split(split.name).columns;
      result.records += columns.size();
      result.with_index += static_cast<uint64_t>(
          std::count_if(columns.entropy_bytes.begin(), columns.entropy_bytes.end(), [](uint32_t n) { return n != 0; }));
    }
  }

  FileSystem& fs_;
  const path folder_, state_file_;
  const ReindexOptions options_;
  const std::string wanted_;
  const ReindexCallbacks& callbacks_;
  const std::atomic<bool>& stop_;
  MemoryBudget in_flight_;
  tbb::enumerable_thread_specific<jpeg::EntropyIndexBuilder> builders_;
  std::unique_ptr<FolderLock> lock_;
  BuildState state_;  // In reindex.json, in the form of a build's: `finished` are the shards that are done.
  Manifest manifest_;
};

}  // namespace

ReindexResult reindex(FileSystem& fs, const path& dataset, const ReindexOptions& options,
                      const ReindexCallbacks& callbacks, const std::atomic<bool>& stop) {
  return Reindex(fs, dataset, options, callbacks, stop).run();
}

}  // namespace imgpack::ingest
