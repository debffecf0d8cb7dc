#include "format/ingest/merge.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "format/checksum.h"
#include "format/error.h"
#include "format/ingest/output_hold.h"
#include "format/ingest/part_manifest.h"

namespace imgpack::ingest {
namespace {

using std::filesystem::path;

constexpr size_t kCopyBytes = 8 << 20;

struct Part {
  path folder;
  PartManifest manifest;
};

std::vector<Part> read_parts(FileSystem& fs, const std::vector<path>& folders) {
  if (folders.empty()) throw Error(ErrorKind::kInvalidInput, "no part to merge");
  std::vector<Part> parts;
  for (const path& folder : folders) {
    if (!fs.exists(folder)) throw Error(ErrorKind::kIo, "no such folder", folder);
    parts.push_back({folder, read_part_manifest(fs, folder)});
  }
  std::sort(parts.begin(), parts.end(),
            [](const Part& a, const Part& b) { return a.manifest.part.part < b.manifest.part.part; });
  return parts;
}

std::map<std::string, std::string> facts_of(const Part& part) {
  auto facts = part.manifest.finished.facts;
  facts.erase("part");
  facts["parts"] = std::to_string(part.manifest.part.parts);
  return facts;
}

void check_same_plan(const std::vector<Part>& parts) {
  const Part& first = parts.front();
  for (const Part& part : parts) {
    if (part.manifest.frame.manifest.plan_id == first.manifest.frame.manifest.plan_id &&
        part.manifest.part.parts == first.manifest.part.parts) {
      continue;
    }
    auto lines = differences(facts_of(first), facts_of(part));
    // `7 there, 0 now` is of two builds in time; here are two in space.
    for (std::string& line : lines) {
      line = line.substr(0, line.rfind(" now")) + " here";
    }
    if (lines.empty()) lines.push_back("names, sizes or labels of the source's images");
    throw Error(ErrorKind::kInvalidInput,
                "part is of another build than " + first.folder.string() + " (there):" + joined_lines(lines),
                part.folder, {}, "build all parts from one source with the same options");
  }
}

void check_complete(const std::vector<Part>& parts) {
  const uint32_t count = parts.front().manifest.part.parts;
  std::string missing;
  uint32_t next = 1;
  for (size_t i = 0; i <= parts.size(); ++i) {
    const uint32_t number = i < parts.size() ? parts[i].manifest.part.part : count + 1;
    if (i > 0 && i < parts.size() && number == parts[i - 1].manifest.part.part) {
      throw Error(
          ErrorKind::kInvalidInput,
          "part " + parts[i].manifest.part.text() + " is given twice: the other is " + parts[i - 1].folder.string(),
          parts[i].folder, {}, "name each part once");
    }
    for (; next < number; ++next) missing += (missing.empty() ? "" : ", ") + PartSelection{next, count}.text();
    next = number + 1;
  }
  if (missing.empty()) return;
  throw Error(ErrorKind::kInvalidInput, "parts are missing: " + missing, parts.front().folder.parent_path(), {},
              "build them, and name the folders of all " + std::to_string(count) + " parts");
}

struct Shard {
  const FinishedShard* info = nullptr;
  path from;
};

// Of every split all shards in order. A part must have exactly those that it owns.
std::vector<Shard> all_shards(const std::vector<Part>& parts) {
  std::vector<Shard> shards;
  const DatasetFrame& frame = parts.front().manifest.frame;
  for (size_t s = 0; s < frame.shards.size(); ++s) {
    for (uint32_t number = 0; number < frame.shards[s]; ++number) {
      const std::string& split = frame.manifest.splits[s].name;
      const auto owner = std::find_if(parts.begin(), parts.end(), [&](const Part& part) {
        return part.manifest.part.owns(number, frame.shards[s]);
      });
      const FinishedShard* info = owner == parts.end() ? nullptr : owner->manifest.finished.find(split, number);
      if (info == nullptr || info->summary.file != shard_file_name(split, number)) {
        throw Error(ErrorKind::kCorruption, "part lacks its shard " + shard_file_name(split, number),
                    owner == parts.end() ? path() : owner->folder, {}, "build this part again with --fresh");
      }
      shards.push_back({info, owner->folder / info->summary.file});
    }
  }
  return shards;
}

class Merge {
 public:
  Merge(FileSystem& fs, const path& out, std::vector<Part> parts, const MergeOptions& options, BuildObserver& observer,
        const std::atomic<bool>& stop)
      : fs_(fs), out_(out), parts_(std::move(parts)), options_(options), observer_(observer), stop_(stop) {}

  BuildResult run() {
    const std::vector<Shard> shards = all_shards(parts_);
    const OutputHold hold(
        fs_, out_, {false, options_.lock}, [&] { check_space(shards); },
        [this](const std::string& note) { observer_.on_note(note); });
    if (hold.found() == OutputState::kFinished) return leave_alone();
    if (hold.found() == OutputState::kFinishedPart) {
      throw Error(ErrorKind::kInvalidInput, "output folder is a part itself", out_, {}, "name another folder");
    }
    if (const auto there = hold.state(); there && there->plan_id != plan_id()) {
      throw Error(ErrorKind::kInvalidInput, "an unfinished build of another plan is here", out_, {},
                  "name another folder, or remove this one");
    }
    const bool resumed = hold.found() == OutputState::kUnfinished;
    const Manifest& manifest = parts_.front().manifest.frame.manifest;
    state_.plan_id = plan_id();
    state_.created_by = manifest.created_by;
    state_.facts = parts_.front().manifest.finished.facts;
    state_.facts.erase("part");
    // What is here is known for a build from now on, also to `imgpack build`.
    publish(fs_, out_ / kBuildStateFile, to_json(state_));
    uint64_t images = 0;
    for (const Shard& shard : shards) images += shard.info->summary.records;
    observer_.on_start(images, 0);
    for (const Shard& shard : shards) {
      if (stop_) {
        throw Error(ErrorKind::kInterrupted, "stopped: merged shards are kept, run the same command to go on", out_);
      }
      bring(shard);
      state_.finished.push_back(*shard.info);
      observer_.on_packed(shard.info->summary.records, shard.info->summary.bytes);
    }
    fs_.sync_directory(out_);
    Manifest result = finish_dataset(fs_, out_, parts_.front().manifest.frame, state_);
    if (options_.move) remove_parts();
    return {resumed ? BuildOutcome::kResumed : BuildOutcome::kBuilt, std::move(result)};
  }

 private:
  uint64_t plan_id() const { return parts_.front().manifest.frame.manifest.plan_id; }

  BuildResult leave_alone() {
    Manifest manifest = read_manifest(fs_, out_);
    if (manifest.plan_id != plan_id()) {
      throw Error(ErrorKind::kInvalidInput, "a finished dataset of another plan is here", out_, {},
                  "name another folder");
    }
    if (options_.move) remove_parts();
    return {BuildOutcome::kAlreadyFinished, std::move(manifest)};
  }

  void check_space(const std::vector<Shard>& shards) const {
    if (options_.move) return;
    uint64_t needed = 0;
    for (const Shard& shard : shards) needed += shard.info->summary.bytes;
    require_free_bytes(fs_, out_, needed);
  }

  // A shard is believed when all of its bytes were read and match its digest.
  std::optional<std::string> damage_of(const path& file, const ShardSummary& expected, WritableFile* copy) const {
    const auto from = fs_.open(file);
    if (from->size() != expected.bytes) {
      return "expected " + std::to_string(expected.bytes) + " bytes, found " + std::to_string(from->size());
    }
    ChecksumStream digest;
    std::vector<std::byte> buffer(kCopyBytes);
    for (uint64_t at = 0; at < expected.bytes;) {
      const auto piece = std::span(buffer).first(std::min<uint64_t>(buffer.size(), expected.bytes - at));
      read_exactly(*from, at, piece);
      digest.update(piece);
      if (copy != nullptr) copy->append(piece);
      at += piece.size();
    }
    if (digest.digest() == expected.digest) return std::nullopt;
    return "expected digest " + to_hex(expected.digest) + ", found " + to_hex(digest.digest());
  }

  [[noreturn]] void refuse(const path& file, const std::string& damage) const {
    throw Error(ErrorKind::kCorruption, "shard of a part is damaged: " + damage, file, {},
                "copy the part again from its host, or build it again with --fresh");
  }

  void bring(const Shard& shard) {
    const ShardSummary& summary = shard.info->summary;
    const path target = out_ / summary.file;
    if (fs_.exists(target) && !damage_of(target, summary, nullptr)) return;
    if (!fs_.exists(shard.from)) {
      throw Error(ErrorKind::kCorruption, "shard of a part is missing", shard.from, {},
                  "copy the part again from its host, or build it again with --fresh");
    }
    if (options_.move && try_to_move(shard, target)) return;
    const path temporary = temporary_path(target);
    try {
      const auto copy = fs_.create(temporary);
      if (const auto damage = damage_of(shard.from, summary, copy.get())) refuse(shard.from, *damage);
      copy->sync();
      copy->close();
      fs_.rename(temporary, target);
    } catch (...) {
      remove_quietly(fs_, temporary);
      throw;
    }
    fs_.sync_directory(out_);
  }

  // False: the part lies on another disk.
  bool try_to_move(const Shard& shard, const path& target) const {
    if (const auto damage = damage_of(shard.from, shard.info->summary, nullptr)) refuse(shard.from, *damage);
    try {
      fs_.rename(shard.from, target);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kIo) throw;
      return false;
    }
    fs_.sync_directory(out_);
    return true;
  }

  // After the manifest: nothing of a part is needed any more.
  void remove_parts() {
    for (const Part& part : parts_) {
      for (const FinishedShard& shard : part.manifest.finished.finished) fs_.remove(part.folder / shard.summary.file);
      fs_.remove(part.folder / kPartFile);
    }
  }

  FileSystem& fs_;
  const path out_;
  const std::vector<Part> parts_;
  const MergeOptions& options_;
  BuildObserver& observer_;
  const std::atomic<bool>& stop_;
  BuildState state_;
};

// A merge that moved everything and was stopped while it removed what was left of the parts.
std::optional<BuildResult> finish_moving(FileSystem& fs, const path& out, const std::vector<path>& folders) {
  if (!fs.exists(out / kManifestFile)) return std::nullopt;
  if (std::all_of(folders.begin(), folders.end(), [&](const path& at) { return fs.exists(at / kPartFile); }))
    return std::nullopt;
  Manifest manifest = read_manifest(fs, out);
  for (const path& folder : folders) {
    if (!fs.exists(folder / kPartFile)) continue;
    const PartManifest part = read_part_manifest(fs, folder);
    if (part.frame.manifest.plan_id != manifest.plan_id) return std::nullopt;
    for (const FinishedShard& shard : part.finished.finished) fs.remove(folder / shard.summary.file);
    fs.remove(folder / kPartFile);
  }
  return BuildResult{BuildOutcome::kAlreadyFinished, std::move(manifest)};
}

}  // namespace

path part_folder(const path& out, const PartSelection& part) {
  path folder = out;
  folder += ".part-" + std::to_string(part.part) + "-of-" + std::to_string(part.parts);
  return folder;
}

std::vector<path> find_parts(FileSystem& fs, const path& out) {
  path absolute = std::filesystem::absolute(out).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();
  const std::string beginning = absolute.filename().string() + ".part-";
  std::vector<path> parts;
  for (const DirectoryEntry& entry : fs.list(absolute.parent_path())) {
    if (entry.is_directory && entry.name.starts_with(beginning) && entry.name.find("-of-") != std::string::npos)
      parts.push_back(absolute.parent_path() / entry.name);
  }
  return parts;
}

BuildResult merge_parts(FileSystem& fs, const path& out, const std::vector<path>& folders, const MergeOptions& options,
                        BuildObserver& observer, const std::atomic<bool>& stop) {
  if (options.move) {
    if (auto finished = finish_moving(fs, out, folders)) return *std::move(finished);
  }
  std::vector<Part> parts = read_parts(fs, folders);
  check_same_plan(parts);
  check_complete(parts);
  return Merge(fs, out, std::move(parts), options, observer, stop).run();
}

}  // namespace imgpack::ingest
