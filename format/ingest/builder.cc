#include "format/ingest/builder.h"

#include <algorithm>
#include <memory>

#include "format/error.h"
#include "format/ingest/build_state.h"
#include "format/ingest/finish_dataset.h"
#include "format/ingest/part_manifest.h"
#include "format/ingest/shard_packer.h"
#include "format/shard_reader.h"

namespace imgpack::ingest {
namespace {

using std::filesystem::path;

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

  BuildResult run(const OutputHold* held) {
    std::unique_ptr<OutputHold> own;
    if (held == nullptr) {
      own = std::make_unique<OutputHold>(
          fs_, out_, HoldOptions{options_.fresh, options_.lock}, [this] { check_space(); },
          [this](const std::string& note) { observer_.on_note(note); });
      held = own.get();
    }
    if (held->found() == OutputState::kFinished) return leave_alone();
    if (held->found() == OutputState::kFinishedPart) return leave_part_alone();
    if (const auto there = held->state()) take_over(*there);
    check_space();
    publish_state();
    observer_.on_start(images_to_pack(), images_done());
    const BuildOutcome outcome = state_.finished.empty() ? BuildOutcome::kBuilt : BuildOutcome::kResumed;
    for (size_t s = 0; s < plan_.splits.size(); ++s) pack_split(s);
    return {outcome, options_.part ? publish_part() : finish_dataset(fs_, out_, frame(), state_)};
  }

 private:
  BuildResult leave_alone() const {
    Manifest manifest = read_manifest(fs_, out_);
    if (manifest.plan_id != plan_.plan_id) refuse_other(manifest_facts(manifest), "a finished dataset");
    for (const SplitInfo& split : manifest.splits) {
      for (const ShardSummary& shard : split.shards) require_shard(shard.file);
    }
    return {BuildOutcome::kAlreadyFinished, std::move(manifest)};
  }

  BuildResult leave_part_alone() const {
    const PartManifest there = read_part_manifest(fs_, out_);
    if (there.frame.manifest.plan_id != plan_.plan_id || std::optional(there.part) != options_.part)
      refuse_other(there.finished.facts, "a finished part");
    for (const FinishedShard& shard : there.finished.finished) require_shard(shard.summary.file);
    return {BuildOutcome::kAlreadyFinished, manifest_so_far(there.frame, there.finished)};
  }

  void require_shard(const std::string& file) const {
    if (fs_.exists(out_ / file)) return;
    throw Error(ErrorKind::kCorruption, "shard of the finished dataset is missing", out_ / file, {},
                "bring it back, or build anew with --fresh");
  }

  void take_over(const BuildState& there) {
    const auto facts = build_facts(plan_, options_);
    const auto part_of = [](const std::map<std::string, std::string>& of) {
      const auto at = of.find("part");
      return at == of.end() ? std::string() : at->second;
    };
    if (there.plan_id != plan_.plan_id || part_of(there.facts) != part_of(facts))
      refuse_other(there.facts, "an unfinished build");
    for (const FinishedShard& shard : there.finished) {
      const auto header = intact_header(fs_, out_, shard, plan_.plan_id);
      if (const auto* why_not = std::get_if<std::string>(&header)) {
        observer_.on_note(*why_not);
      } else {
        state_.finished.push_back(shard);
      }
    }
    observer_.on_note("going on with the unfinished build in " + out_.string() + ": " +
                      std::to_string(state_.finished.size()) + " shards are finished");
  }

  [[noreturn]] void refuse_other(const std::map<std::string, std::string>& there, const std::string& what) const {
    auto lines = differences(there, build_facts(plan_, options_));
    if (lines.empty()) lines.push_back("names, sizes or labels of the source's images");
    throw Error(ErrorKind::kInvalidInput,
                what + " of another source or with other options is here:" + joined_lines(lines), out_, {},
                "name another folder, repeat the options, or build anew with --fresh");
  }

  bool is_mine(const PlannedSplit& split, uint32_t number) const {
    return !options_.part || options_.part->owns(number, split.shards());
  }

  uint64_t images_to_pack() const {
    uint64_t images = 0;
    for (const PlannedSplit& split : plan_.splits) {
      for (uint32_t number = 0; number < split.shards(); ++number)
        images += is_mine(split, number) ? split.first[number + 1] - split.first[number] : 0;
    }
    return images;
  }

  uint64_t images_done() const {
    uint64_t images = 0;
    for (const FinishedShard& shard : state_.finished) images += shard.summary.records + shard.skipped.size();
    return images;
  }

  // Before anything is written: does what is left to do fit? What is spilled lies there already, and goes as shards
  // come.
  void check_space() const {
    uint64_t source_bytes = 0;
    for (size_t s = 0; s < plan_.splits.size(); ++s) {
      const PlannedSplit& split = plan_.splits[s];
      for (uint32_t number = 0; number < split.shards(); ++number) {
        if (!is_mine(split, number)) continue;
        for (uint32_t at = split.first[number]; at < split.first[number + 1]; ++at)
          source_bytes += source_.scan.splits[s].images[split.order[at].image].bytes;
      }
    }
    auto needed = expected_shard_bytes(options_.pack, source_bytes);
    if (!needed) return;
    for (const FinishedShard& shard : state_.finished) *needed -= std::min(*needed, shard.summary.bytes);
    require_free_bytes(fs_, out_, *needed - std::min(*needed, reader_.spilled_bytes()));
  }

  void publish_state() {
    state_.plan_id = plan_.plan_id;
    state_.created_by = options_.created_by;
    state_.facts = build_facts(plan_, options_);
    publish(fs_, out_ / kBuildStateFile, to_json(state_));
  }

  void pack_split(size_t s) {
    const PlannedSplit& plan = plan_.splits[s];
    std::vector<uint32_t> todo;
    for (uint32_t number = 0; number < plan.shards(); ++number) {
      if (is_mine(plan, number) && state_.find(plan.name, number) == nullptr) todo.push_back(number);
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
  }

  DatasetFrame frame() const {
    DatasetFrame frame;
    Manifest& manifest = frame.manifest;
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
      manifest.splits.push_back(std::move(split));
      frame.shards.push_back(plan_.splits[s].shards());
    }
    return frame;
  }

  Manifest publish_part() {
    std::sort(state_.finished.begin(), state_.finished.end(), [](const FinishedShard& a, const FinishedShard& b) {
      return a.split != b.split ? a.split < b.split : a.number < b.number;
    });
    const PartManifest part{*options_.part, frame(), state_};
    publish(fs_, out_ / kPartFile, to_json(part));
    fs_.remove(out_ / kBuildStateFile);
    fs_.sync_directory(out_);
    return manifest_so_far(part.frame, state_);
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
  BuildState state_;
  uint64_t skipped_ = 0;
};

}  // namespace

std::variant<ShardHeader, std::string> intact_header(FileSystem& fs, const path& out, const FinishedShard& shard,
                                                     uint64_t plan_id) {
  try {
    const ShardReader reader(fs, out / shard.summary.file);
    const ShardHeader& header = reader.header();
    if (header.plan_id == plan_id && header.number == shard.number && header.split == shard.split &&
        reader.file().size() == shard.summary.bytes) {
      return header;
    }
    return shard.summary.file + " is of another build: it is packed again";
  } catch (const Error& error) {
    return std::string(error.what()) + ": the shard is packed again";
  }
}

std::map<std::string, std::string> build_facts(const PackPlan& plan, const BuildOptions& options) {
  auto facts = plan_facts(plan, options.pack);
  if (options.part) facts["part"] = options.part->text();
  return facts;
}

void require_free_bytes(FileSystem& fs, const path& out, uint64_t needed) {
  // The folder may not be there yet; its disk is.
  path place = std::filesystem::absolute(out);
  while (!fs.exists(place) && place != place.root_path()) place = place.parent_path();
  const uint64_t free = fs.free_bytes(place);
  if (free >= needed) return;
  throw Error(ErrorKind::kIo,
              "not enough space on this disk: expected about " + std::to_string(needed >> 20) + " MiB, found " +
                  std::to_string(free >> 20) + " MiB free",
              out, {}, "free some space, or name a folder on another disk");
}

std::optional<uint64_t> expected_shard_bytes(const PackOptions& options, uint64_t source_bytes) {
  const NormaliseOptions& image = options.normalise;
  const bool kept =
      image.resize_short == 0 && image.resize_max == 0 && !image.reencode && options.reencode_probability <= 0;
  if (!kept) return std::nullopt;
  return source_bytes + source_bytes / 32;
}

BuildResult build(FileSystem& fs, const LabeledSource& source, ImageReader& reader, const path& out,
                  const BuildOptions& options, BuildObserver& observer, const std::atomic<bool>& stop) {
  return Build(fs, source, reader, out, options, observer, stop).run(nullptr);
}

BuildResult build(FileSystem& fs, const LabeledSource& source, ImageReader& reader, const path& out,
                  const OutputHold& hold, const BuildOptions& options, BuildObserver& observer,
                  const std::atomic<bool>& stop) {
  return Build(fs, source, reader, out, options, observer, stop).run(&hold);
}

}  // namespace imgpack::ingest
