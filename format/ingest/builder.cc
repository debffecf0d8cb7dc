#include "format/ingest/builder.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <memory>

#include "format/checksum.h"
#include "format/dataset.h"
#include "format/error.h"
#include "format/ingest/build_state.h"
#include "format/ingest/folder_lock.h"
#include "format/ingest/output_folder.h"
#include "format/ingest/shard_packer.h"
#include "format/reindex_file.h"
#include "format/shard_reader.h"

namespace imgpack::ingest {
namespace {

using std::filesystem::path;

constexpr uint64_t kMaxStateBytes = 1ull << 30;

std::string joined_lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "\n  " + line;
  return text;
}

// Shards hold the source's bytes, headers and an index, where images are kept as they are.
bool keeps_bytes(const PackOptions& options) {
  const NormaliseOptions& image = options.normalise;
  return image.resize_short == 0 && image.resize_max == 0 && !image.reencode && options.reencode_probability <= 0;
}
uint64_t expected_bytes(uint64_t source_bytes) {
  return source_bytes + source_bytes / 32;
}

class Build {
 public:
  Build(FileSystem& fs, const LabeledSource& source, ImageReader& reader, const path& out, const BuildOptions& options,
        BuildObserver& observer, const std::atomic<bool>& stop)
      : fs_(fs),
        source_(source),
        reader_(reader),
        out_(out),
        options_(options),
        observer_(observer),
        stop_(stop),
        plan_(make_plan(source, options.pack)) {}

  BuildResult run() {
    if (auto finished = prepare_output()) return *std::move(finished);
    check_space();
    publish_state();
    observer_.on_start(plan_.images(), images_done());
    const bool resumed = !state_.finished.empty();
    for (size_t s = 0; s < plan_.splits.size(); ++s) pack_split(s);
    Manifest manifest = make_manifest();
    publish_manifest(fs_, out_, manifest);
    fs_.remove(out_ / kBuildStateFile);
    fs_.sync_directory(out_);
    return {resumed ? BuildOutcome::kResumed : BuildOutcome::kBuilt, std::move(manifest)};
  }

 private:
  // Decides what the output folder is to this build, locks it and takes over finished shards.
  // Returns the result where there is nothing left to do.
  std::optional<BuildResult> prepare_output() {
    if (refuse_foreign() == OutputState::kNew) check_space();
    fs_.make_directories(out_);
    if (options_.lock) lock_ = std::make_unique<FolderLock>(out_);
    // Looked at again: another build may have ended since.
    const OutputState found = refuse_foreign();
    if (options_.fresh && found != OutputState::kNew) {
      check_is_ours(found);
      remove_build(fs_, out_);
      observer_.on_note("removed the earlier build in " + out_.string());
    } else if (found == OutputState::kFinished) {
      return leave_alone();
    } else if (found == OutputState::kUnfinished) {
      take_over();
    }
    remove_leftovers(fs_, out_);
    return std::nullopt;
  }

  OutputState refuse_foreign() const {
    std::string found;
    const OutputState state = look_at_output(fs_, out_, &found);
    if (state == OutputState::kForeign) {
      throw Error(
          ErrorKind::kInvalidInput,
          "output folder is something else: expected a new or empty folder, or an earlier build, found " + found, out_,
          {}, "name another folder");
    }
    return state;
  }

  // --fresh removes what can be read as ours, nothing that merely has its names.
  void check_is_ours(OutputState found) const {
    if (found == OutputState::kFinished) {
      try {
        read_manifest(fs_, out_);
        return;
      } catch (const Error& error) {
        observer_.on_note(std::string("the earlier build is damaged: ") + error.what());
      }
    }
    for (const DirectoryEntry& entry : fs_.list(out_)) {
      if (entry.name.ends_with(".ipk") || entry.name.ends_with(std::string(".ipk") + kTemporarySuffix)) return;
    }
    if (fs_.exists(out_ / kBuildStateFile)) read_state();
  }

  BuildResult leave_alone() const {
    Manifest manifest = read_manifest(fs_, out_);
    if (manifest.plan_id != plan_.plan_id) refuse_other(manifest_facts(manifest), "a finished dataset");
    for (const SplitInfo& split : manifest.splits) {
      for (const ShardSummary& shard : split.shards) {
        if (fs_.exists(out_ / shard.file)) continue;
        throw Error(ErrorKind::kCorruption, "shard of the finished dataset is missing", out_ / shard.file, {},
                    "bring it back, or build anew with --fresh");
      }
    }
    return {BuildOutcome::kAlreadyFinished, std::move(manifest)};
  }

  BuildState read_state() const {
    const path file = out_ / kBuildStateFile;
    return parse_build_state(read_text(fs_, file, kMaxStateBytes), file);
  }

  void take_over() {
    if (fs_.exists(out_ / kReindexStateFile)) {
      throw Error(ErrorKind::kInvalidInput, "an unfinished reindex is here: expected a build", out_, {},
                  "imgpack reindex finishes it; --fresh begins a new build");
    }
    if (!fs_.exists(out_ / kBuildStateFile)) return;
    const BuildState there = read_state();
    if (there.plan_id != plan_.plan_id) refuse_other(there.facts, "an unfinished build");
    for (const FinishedShard& shard : there.finished) {
      if (is_intact(shard)) state_.finished.push_back(shard);
    }
    observer_.on_note("going on with the unfinished build in " + out_.string() + ": " +
                      std::to_string(state_.finished.size()) + " shards are finished");
  }

  [[noreturn]] void refuse_other(const std::map<std::string, std::string>& there, const std::string& what) const {
    auto lines = differences(there, plan_facts(plan_, options_.pack));
    if (lines.empty()) lines.push_back("names, sizes or labels of the source's images");
    throw Error(ErrorKind::kInvalidInput,
                what + " of another source or with other options is here:" + joined_lines(lines), out_, {},
                "name another folder, repeat the options, or build anew with --fresh");
  }

  // Finished, still there, and readable as far as its index: bytes that changed since are verify's to find.
  bool is_intact(const FinishedShard& shard) const {
    try {
      const ShardReader reader(fs_, out_ / shard.summary.file);
      if (reader.header().plan_id == plan_.plan_id && reader.header().number == shard.number &&
          reader.header().split == shard.split && reader.file().size() == shard.summary.bytes) {
        return true;
      }
      observer_.on_note(shard.summary.file + " is of another build: it is packed again");
    } catch (const Error& error) {
      observer_.on_note(std::string(error.what()) + ": the shard is packed again");
    }
    return false;
  }

  uint64_t images_done() const {
    uint64_t images = 0;
    for (const FinishedShard& shard : state_.finished) images += shard.summary.records + shard.skipped.size();
    return images;
  }

  // Before anything is written: does what is left to do fit?
  void check_space() const {
    if (!keeps_bytes(options_.pack)) return;
    uint64_t needed = expected_bytes(plan_.source_bytes());
    for (const FinishedShard& shard : state_.finished) needed -= std::min(needed, shard.summary.bytes);
    // The folder may not be there yet; its disk is.
    path place = std::filesystem::absolute(out_);
    while (!fs_.exists(place) && place != place.root_path()) place = place.parent_path();
    const uint64_t free = fs_.free_bytes(place);
    if (free >= needed) return;
    throw Error(ErrorKind::kIo,
                "not enough space on this disk: expected about " + std::to_string(needed >> 20) + " MiB, found " +
                    std::to_string(free >> 20) + " MiB free",
                out_, {}, "free some space, or name a folder on another disk");
  }

  void publish_state() {
    state_.plan_id = plan_.plan_id;
    state_.created_by = options_.created_by;
    state_.facts = plan_facts(plan_, options_.pack);
    publish(fs_, out_ / kBuildStateFile, to_json(state_));
  }

  void pack_split(size_t s) {
    const PlannedSplit& plan = plan_.splits[s];
    std::vector<uint32_t> todo;
    for (uint32_t number = 0; number < plan.shards(); ++number) {
      if (state_.find(plan.name, number) == nullptr) todo.push_back(number);
    }
    const PackJob job{fs_,  reader_,       source_.scan.splits[s], source_.splits[s],
                      plan, options_.pack, plan_.plan_id,          out_};
    PackCallbacks callbacks;
    callbacks.on_shard = [&](const FinishedShard& shard) {
      state_.finished.push_back(shard);
      publish(fs_, out_ / kBuildStateFile, to_json(state_));
    };
    callbacks.on_skip = [&](const SkippedSource& skipped) {
      observer_.on_skip(skipped);
      if (++skipped_ > options_.max_skipped) {
        throw Error(ErrorKind::kInvalidInput,
                    "more than " + std::to_string(options_.max_skipped) +
                        " images cannot be packed: is this the right source, and is its disk sound?",
                    source_.scan.root, {}, "look at the reasons above; --max-skipped raises the limit");
      }
    };
    callbacks.on_image = [&](uint64_t source_bytes) { observer_.on_packed(1, source_bytes); };
    pack_shards(job, todo, callbacks, stop_);
    if (stop_) {
      throw Error(ErrorKind::kInterrupted,
                  "stopped: " + std::to_string(state_.finished.size()) +
                      " finished shards are kept, run the same command to go on",
                  out_);
    }
    uint64_t records = 0;
    for (const FinishedShard& shard : state_.finished) records += shard.split == plan.name ? shard.summary.records : 0;
    if (records == 0) {
      throw Error(ErrorKind::kInvalidInput, "no image of " + plan.name + " could be packed: see the reasons above",
                  source_.scan.root);
    }
  }

  // Read back from what lies on the disk, whichever run wrote it.
  IndexFileSummary publish_index() const {
    std::vector<SplitColumns> splits;
    for (const PlannedSplit& plan : plan_.splits) {
      SplitColumns columns{plan.name, std::vector<IndexColumns>(plan.shards())};
      tbb::parallel_for(uint32_t{0}, plan.shards(), [&](uint32_t number) {
        columns.shards[number] = ShardReader(fs_, out_ / shard_file_name(plan.name, number)).columns();
      });
      splits.push_back(std::move(columns));
    }
    return publish_dataset_index(fs_, out_, splits);
  }

  Manifest make_manifest() const {
    Manifest manifest;
    manifest.seed = options_.pack.seed;
    manifest.plan_id = plan_.plan_id;
    manifest.created_by = options_.created_by;
    manifest.options = option_texts(options_.pack);
    manifest.provenance = provenance();
    manifest.classes = source_.classes.classes;
    for (size_t s = 0; s < plan_.splits.size(); ++s) {
      SplitInfo split;
      split.name = plan_.splits[s].name;
      split.labeled = source_.splits[s].labeled;
      for (uint32_t number = 0; number < plan_.splits[s].shards(); ++number) {
        const FinishedShard& shard = *state_.find(split.name, number);
        split.records += shard.summary.records;
        split.shards.push_back(shard.summary);
        manifest.skipped.insert(manifest.skipped.end(), shard.skipped.begin(), shard.skipped.end());
      }
      manifest.splits.push_back(std::move(split));
    }
    const IndexFileSummary index = publish_index();
    manifest.index_file = index.file;
    manifest.index_bytes = index.bytes;
    manifest.index_plan_bytes = index.plan_bytes;
    manifest.index_digest = index.digest;
    manifest.dataset_id = compute_dataset_id(manifest);
    return manifest;
  }

  std::map<std::string, std::string> provenance() const {
    std::map<std::string, std::string> facts;
    facts["source"] = kind_name(source_.scan.kind);
    facts["classes"] = source_.classes.origin;
    for (size_t s = 0; s < source_.splits.size(); ++s) {
      std::string sources;
      for (const LabelSourceReport& report : source_.splits[s].sources)
        sources += (sources.empty() ? "" : ", ") + report.source;
      if (!sources.empty()) facts["labels of " + plan_.splits[s].name] = sources;
    }
    for (const MissingImages& missing : source_.missing) {
      facts["missing of " + missing.split] =
          std::to_string(missing.missing) + " of " + std::to_string(missing.expected);
    }
    return facts;
  }

  FileSystem& fs_;
  const LabeledSource& source_;
  ImageReader& reader_;
  const path out_;
  const BuildOptions& options_;
  BuildObserver& observer_;
  const std::atomic<bool>& stop_;
  const PackPlan plan_;
  std::unique_ptr<FolderLock> lock_;
  BuildState state_;
  uint64_t skipped_ = 0;
};

}  // namespace

BuildResult build(FileSystem& fs, const LabeledSource& source, ImageReader& reader, const path& out,
                  const BuildOptions& options, BuildObserver& observer, const std::atomic<bool>& stop) {
  return Build(fs, source, reader, out, options, observer, stop).run();
}

}  // namespace imgpack::ingest
