#include "format/repair.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "format/checksum.h"
#include "format/dataset.h"
#include "format/dataset_index.h"
#include "format/error.h"
#include "format/label_set.h"
#include "format/layout.h"
#include "format/repair_shard.h"
#include "format/shard_codec.h"
#include "format/shard_reader.h"

namespace imgpack {
namespace {

std::string count_text(uint64_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

// Rows [begin, end) of columns.
IndexColumns rows_of(const IndexColumns& all, uint64_t begin, uint64_t end) {
  IndexColumns part;
  for (uint64_t i = begin; i < end; ++i) {
    part.append({all.id[i], all.label[i], all.width[i], all.height[i], all.flags[i], all.names[i]}, all.record_bytes[i],
                all.image_bytes[i], all.entropy_bytes[i]);
  }
  return part;
}

// What is known of a split before its shards are looked at.
struct SplitPlan {
  std::string name;
  ShardHeader header;                             // But for the number.
  std::vector<ShardSummary> summaries;            // The manifest's; empty where that is lost.
  std::vector<std::optional<IndexColumns>> rows;  // Of every shard, by the dataset index.
  std::vector<RepairOutcome> outcomes;
  uint32_t shards() const { return header.shard_count; }
};

class Repair {
 public:
  Repair(FileSystem& fs, const std::filesystem::path& folder, const RepairOptions& options)
      : fs_(fs), folder_(folder), options_(options) {}

  RepairReport run() {
    read_manifest_or_learn();
    read_dataset_index();
    if (options_.source != nullptr && manifest_) check_classes();
    for (SplitPlan& split : splits_) repair_split(split);
    if (options_.dry_run) {
      foresee();
      return std::move(report_);
    }
    gather_columns();
    if (all_columns_) publish_rest();
    return std::move(report_);
  }

 private:
  // --- what is there ---

  void read_manifest_or_learn() {
    if (fs_.exists(folder_ / kManifestFile)) {
      try {
        manifest_ = read_manifest(fs_, folder_);
        report_.dataset_id_before = manifest_->dataset_id;
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kCorruption) throw;
        manifest_damage_ = error.message();
      }
    } else {
      manifest_damage_ = "it is missing";
    }
    if (manifest_) {
      for (const SplitInfo& info : manifest_->splits) {
        ShardHeader header;
        header.split = info.name;
        header.shard_count = static_cast<uint32_t>(info.shards.size());
        header.seed = manifest_->seed;
        header.plan_id = manifest_->plan_id;
        plan_split(header, info.shards);
      }
      return;
    }
    learn_from_headers();
  }

  void plan_split(const ShardHeader& header, const std::vector<ShardSummary>& summaries) {
    SplitPlan plan;
    plan.name = header.split;
    plan.header = header;
    plan.summaries = summaries;
    plan.rows.resize(header.shard_count);
    splits_.push_back(std::move(plan));
  }

  // Without a manifest, the intact headers of its shards say what a split is.
  void learn_from_headers() {
    std::map<std::string, ShardHeader> learnt;
    std::set<std::string> names;
    for (const DirectoryEntry& entry : fs_.list(folder_)) {
      const auto name = parse_shard_file_name(entry.name);
      if (!name) continue;
      names.insert(name->split);
      const auto header = intact_header(folder_ / entry.name);
      if (!header || header->split != name->split) continue;
      const auto [at, is_new] = learnt.emplace(header->split, *header);
      if (!is_new && (at->second.seed != header->seed || at->second.plan_id != header->plan_id ||
                      at->second.shard_count != header->shard_count)) {
        throw Error(ErrorKind::kInvalidInput,
                    "shards of different builds lie here, and there is no manifest to tell which belong together",
                    folder_ / entry.name, {}, "move those of one build away");
      }
    }
    if (names.empty())
      throw Error(ErrorKind::kInvalidInput, "there is neither a manifest nor a shard here: nothing can be repaired",
                  folder_, {}, "imgpack build SOURCE makes a dataset");
    for (const std::string& name : in_usual_order(names)) {
      const auto at = learnt.find(name);
      if (at == learnt.end()) {
        throw Error(ErrorKind::kInvalidInput,
                    "manifest and every shard header of split " + name +
                        " are damaged: seed and number of shards are "
                        "not known",
                    folder_, {}, "bring manifest.json back from a copy, or build anew");
      }
      plan_split(at->second, {});
    }
    for (const SplitPlan& split : splits_) {
      if (split.header.seed != splits_[0].header.seed || split.header.plan_id != splits_[0].header.plan_id)
        throw Error(ErrorKind::kInvalidInput,
                    "splits of different builds lie here: " + splits_[0].name + " and " + split.name +
                        ", and there is no manifest",
                    folder_, {}, "move those of one build away");
    }
  }

  static std::vector<std::string> in_usual_order(std::set<std::string> names) {
    std::vector<std::string> ordered;
    for (const char* name : {"train", "val", "test"}) {
      if (names.erase(name) > 0) ordered.emplace_back(name);
    }
    ordered.insert(ordered.end(), names.begin(), names.end());
    return ordered;
  }

  std::optional<ShardHeader> intact_header(const std::filesystem::path& path) {
    const auto file = fs_.open(path);
    std::vector<std::byte> bytes(std::min<uint64_t>(file->size(), layout::kMaxFileHeaderBytes));
    read_exactly(*file, 0, bytes);
    try {
      return parse_shard_header(bytes, path).header;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kCorruption) throw;
      return std::nullopt;
    }
  }

  // The index is of use by itself: its checksums say whether it is whole, its tables which shard a row is of.
  void read_dataset_index() {
    const std::filesystem::path path = folder_ / (manifest_ ? manifest_->index_file : kDatasetIndexFile);
    if (!fs_.exists(path)) {
      index_damage_ = "it is missing";
      return;
    }
    try {
      const std::string text = read_text(fs_, path, layout::kMaxIndexBytes);
      const auto bytes = std::as_bytes(std::span(text));
      const DatasetIndexHead head = parse_dataset_index_head(bytes, bytes.size(), path);
      std::vector<IndexColumns> columns = decode_dataset_index(head, bytes, ReadNames::kYes, path);
      if (manifest_ && (head.digest != manifest_->index_digest || bytes.size() != manifest_->index_bytes))
        index_damage_ = "it is not the one that the manifest names";
      for (size_t s = 0; s < head.splits.size(); ++s) take_rows(head.splits[s], columns[s]);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kCorruption) throw;
      index_damage_ = error.message();
    }
  }

  void take_rows(const IndexedSplit& indexed, const IndexColumns& columns) {
    const auto split =
        std::find_if(splits_.begin(), splits_.end(), [&](const SplitPlan& plan) { return plan.name == indexed.name; });
    if (split == splits_.end() || split->shards() != indexed.shard_records.size()) {
      index_damage_ = "it is another dataset's";
      return;
    }
    old_ids_[indexed.name] = columns.id;
    uint64_t begin = 0;
    for (uint32_t s = 0; s < split->shards(); ++s) {
      const uint64_t end = begin + indexed.shard_records[s];
      // One that the manifest does not name may be of any age: only rows that fit are believed.
      const bool fits =
          index_damage_.empty() || split->summaries.empty() || split->summaries[s].records == indexed.shard_records[s];
      if (fits) split->rows[s] = rows_of(columns, begin, end);
      begin = end;
    }
  }

  void check_classes() const {
    const auto& ours = manifest_->classes;
    const auto& theirs = options_.source->classes();
    const bool same = std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end(),
                                 [](const ClassInfo& a, const ClassInfo& b) { return a.wnid == b.wnid; });
    if (!same)
      throw Error(ErrorKind::kInvalidInput,
                  "the source has other classes than the dataset: expected " + std::to_string(ours.size()) +
                      " classes as in the manifest, found " + std::to_string(theirs.size()),
                  folder_, {}, "name the source that the dataset was built from, and its --classes");
  }

  // --- shards ---

  void repair_split(SplitPlan& split) {
    std::map<uint32_t, std::vector<std::string>> skipped;
    if (manifest_) {
      for (const SkippedSource& one : manifest_->skipped) {
        if (one.split != split.name || !is_canonical_name(one.name)) continue;
        const uint64_t key = order_key(split.header.seed, split.name, one.name);
        skipped[shard_of_key(key, split.shards())].push_back(one.name);
      }
    }
    for (uint32_t s = 0; s < split.shards(); ++s) {
      RepairJob job;
      job.path = folder_ / shard_file_name(split.name, s);
      job.header = split.header;
      job.header.number = s;
      if (!split.summaries.empty()) job.summary = split.summaries[s];
      if (split.rows[s]) job.names = split.rows[s]->names;
      job.skipped = skipped[s];
      if (options_.on_shard) options_.on_shard(job.path.filename().string());
      RepairOutcome outcome = repair_shard(fs_, job, options_);
      tell(job, outcome);
      split.outcomes.push_back(std::move(outcome));
    }
  }

  void tell(const RepairJob& job, const RepairOutcome& outcome) {
    ++report_.shards;
    report_.restored += outcome.whole ? outcome.restored : 0;
    report_.rewritten += outcome.rewritten ? 1 : 0;
    report_.lost.insert(report_.lost.end(), outcome.lost.begin(), outcome.lost.end());
    const std::string file = job.path.filename().string();
    const std::string why =
        outcome.what_was_wrong.empty() ? "images that were skipped are in order now" : outcome.what_was_wrong;
    uint64_t lost = 0;
    for (const LostRecord& record : outcome.lost) lost += record.count;
    if (!outcome.whole) {
      report_.left.push_back(file + ": " + why + "; " + count_text(lost, "record") + " cannot be brought back");
    } else if (outcome.rewritten) {
      std::string line = file + ": " + why + "; " + (options_.dry_run ? "to be written anew" : "written anew");
      if (outcome.restored > 0) line += ", " + count_text(outcome.restored, "record") + " packed from the source";
      if (lost > 0) line += ", " + count_text(lost, "record") + " taken out";
      if (!options_.dry_run && job.summary && job.summary->digest == outcome.summary.digest)
        line += ", every byte as it was";
      report_.done.push_back(line);
    }
  }

  // --- what follows from the shards ---

  // Columns of every shard: of the file where it is whole, else the dataset index's.
  void gather_columns() {
    all_columns_ = true;
    for (SplitPlan& split : splits_) {
      SplitColumns columns{split.name, {}};
      for (uint32_t s = 0; s < split.shards(); ++s) {
        if (split.outcomes[s].whole) {
          columns.shards.push_back(ShardReader(fs_, folder_ / shard_file_name(split.name, s)).columns());
        } else if (split.rows[s] && manifest_) {
          columns.shards.push_back(*split.rows[s]);
        } else {
          all_columns_ = false;
          return;
        }
      }
      columns_.push_back(std::move(columns));
    }
  }

  void foresee() {
    if (!index_damage_.empty()) report_.done.push_back("dataset index: " + index_damage_ + "; to be rebuilt");
    if (!manifest_) report_.done.push_back("manifest.json: " + manifest_damage_ + "; to be rebuilt");
    if (manifest_) report_.dataset_id = manifest_->dataset_id;
  }

  void publish_rest() {
    Manifest manifest = manifest_ ? *manifest_ : new_manifest();
    update_splits(manifest);
    update_skipped(manifest);
    const EncodedDatasetIndex index = encode_dataset_index(columns_);
    if (!index_damage_.empty() || !manifest_ || index.digest != manifest_->index_digest) {
      publish_dataset_index(fs_, folder_, index, manifest);
      report_.done.push_back(std::string("dataset index: ") +
                             (index_damage_.empty() ? "records have changed" : index_damage_) + "; rebuilt");
    }
    update_label_sets(manifest);
    manifest.dataset_id = compute_dataset_id(manifest);
    report_.dataset_id = manifest.dataset_id;
    if (manifest_ && to_json(manifest) == to_json(*manifest_)) return;
    if (!manifest_) report_.done.push_back("manifest.json: " + manifest_damage_ + "; rebuilt");
    publish_manifest(fs_, folder_, manifest);
  }

  void update_splits(Manifest& manifest) const {
    for (size_t s = 0; s < splits_.size(); ++s) {
      SplitInfo& info = manifest.splits[s];
      info.records = 0;
      for (uint32_t number = 0; number < splits_[s].shards(); ++number) {
        if (splits_[s].outcomes[number].whole) info.shards[number] = splits_[s].outcomes[number].summary;
        info.records += info.shards[number].records;
      }
    }
  }

  void update_skipped(Manifest& manifest) const {
    std::set<std::pair<std::string, std::string>> packed;
    for (const SplitPlan& split : splits_) {
      for (const RepairOutcome& outcome : split.outcomes) {
        if (!outcome.whole) continue;
        for (const std::string& name : outcome.unskipped) packed.emplace(split.name, name);
        for (const LostRecord& lost : outcome.lost) {
          manifest.skipped.push_back({lost.split,
                                      lost.name,
                                      "taken out by repair" +
                                          (lost.name.empty() ? ", " + count_text(lost.count, "record") : "") + ": " +
                                          lost.reason,
                                      {}});
        }
      }
    }
    std::erase_if(manifest.skipped, [&](const SkippedSource& one) { return packed.contains({one.split, one.name}); });
  }

  // Sets follow their records: those of records that are gone go, those of new ones are empty.
  void update_label_sets(Manifest& manifest) {
    std::vector<LabelSetInfo> kept;
    std::vector<LabelSetInfo> candidates = manifest.label_sets;
    if (!manifest_) candidates = label_sets_in_folder();
    for (const LabelSetInfo& info : candidates) {
      const auto columns = std::find_if(columns_.begin(), columns_.end(),
                                        [&](const SplitColumns& one) { return one.split == info.split; });
      std::optional<LabelSet> set = columns == columns_.end() ? std::nullopt : read_set(info);
      if (!set) {
        drop_label_set(info, "it is damaged", kept);
        continue;
      }
      std::vector<uint64_t> ids;
      for (const IndexColumns& shard : columns->shards) ids.insert(ids.end(), shard.id.begin(), shard.id.end());
      const uint64_t sum = ids_checksum(ids);
      if (set->ids == sum) {
        const uint64_t digest = checksum(read_text(fs_, folder_ / info.file, layout::kMaxLabelSetBytes));
        if (manifest_ && digest != info.digest)
          report_.done.push_back(info.file + ": the manifest names another digest; taken as it is");
        kept.push_back({info.name, info.file, info.split, digest});
        continue;
      }
      const std::vector<uint64_t>& old = old_ids_[info.split];
      if (set->ids != ids_checksum(old) || set->labels.size() != old.size()) {
        drop_label_set(info, "it belongs to other records", kept);
        continue;
      }
      std::unordered_map<uint64_t, size_t> row_of;
      for (size_t i = 0; i < old.size(); ++i) row_of.emplace(old[i], i);
      std::vector<std::vector<int32_t>> labels;
      for (const uint64_t id : ids) {
        const auto at = row_of.find(id);
        labels.push_back(at == row_of.end() ? std::vector<int32_t>() : set->labels[at->second]);
      }
      set->ids = sum;
      set->labels = std::move(labels);
      kept.push_back(publish_label_set(fs_, folder_, *set));
      report_.done.push_back(info.file + ": fitted to the records that are there now");
    }
    manifest.label_sets = std::move(kept);
  }

  void drop_label_set(const LabelSetInfo& info, const std::string& why, std::vector<LabelSetInfo>& kept) {
    if (options_.accept_loss || !manifest_) {
      report_.done.push_back(info.file + ": " + why +
                             "; the label set is taken out (imgpack add-labels adds it again)");
    } else {
      kept.push_back(info);
      report_.left.push_back(info.file + ": " + why + "; add it again by imgpack add-labels");
    }
  }

  std::optional<LabelSet> read_set(const LabelSetInfo& info) {
    const std::filesystem::path path = folder_ / info.file;
    if (!fs_.exists(path)) return std::nullopt;
    try {
      LabelSet set = parse_label_set(read_text(fs_, path, layout::kMaxLabelSetBytes), path);
      if (set.name == info.name && set.split == info.split) return set;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kCorruption) throw;
    }
    return std::nullopt;
  }

  std::vector<LabelSetInfo> label_sets_in_folder() {
    std::vector<LabelSetInfo> sets;
    for (const DirectoryEntry& entry : fs_.list(folder_)) {
      if (!entry.name.starts_with("labels-") || !entry.name.ends_with(".json")) continue;
      try {
        const std::filesystem::path path = folder_ / entry.name;
        const LabelSet set = parse_label_set(read_text(fs_, path, layout::kMaxLabelSetBytes), path);
        if (label_set_file_name(set.name) == entry.name) sets.push_back({set.name, entry.name, set.split, 0});
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kCorruption) throw;
        report_.done.push_back(entry.name + ": it is damaged and no longer part of the dataset");
      }
    }
    return sets;
  }

  // --- a manifest out of nothing ---

  Manifest new_manifest() const {
    Manifest manifest;
    manifest.seed = splits_[0].header.seed;
    manifest.plan_id = splits_[0].header.plan_id;
    manifest.created_by = options_.created_by;
    manifest.provenance["repaired"] =
        "manifest rebuilt from the shards: options, label sources and skipped images of the build are not known";
    manifest.classes = options_.source != nullptr ? options_.source->classes() : classes_from_names();
    for (size_t s = 0; s < splits_.size(); ++s) {
      SplitInfo info;
      info.name = splits_[s].name;
      info.shards.resize(splits_[s].shards());
      int32_t most = kNoLabel;
      uint64_t records = 0;
      for (const IndexColumns& shard : columns_[s].shards) {
        for (const int32_t label : shard.label) most = std::max(most, label);
        records += shard.size();
      }
      info.labeled = most != kNoLabel || records == 0;
      if (most >= static_cast<int32_t>(manifest.classes.size()))
        throw Error(ErrorKind::kInvalidInput,
                    "the classes do not fit the records: expected more than " + std::to_string(most) + ", found " +
                        std::to_string(manifest.classes.size()),
                    folder_, {}, "imgpack repair DIR --source SOURCE");
      manifest.splits.push_back(std::move(info));
    }
    return manifest;
  }

  // `n01440764/n01440764_10026.JPEG` with label 0: class 0 is n01440764. A list that is not proved by every record that
  // has a folder, and for every label, is none.
  std::vector<ClassInfo> classes_from_names() const {
    std::map<int32_t, std::string> folder_of;
    int32_t most = kNoLabel;
    const auto give_up = [&](const std::string& why) {
      throw Error(ErrorKind::kInvalidInput,
                  "the list of classes was in the manifest and does not follow from the names: " + why, folder_, {},
                  "imgpack repair DIR --source SOURCE takes it from the source");
    };
    for (const SplitColumns& split : columns_) {
      for (const IndexColumns& shard : split.shards) {
        for (size_t i = 0; i < shard.size(); ++i) {
          most = std::max(most, shard.label[i]);
          const size_t slash = shard.names[i].find('/');
          if (shard.label[i] == kNoLabel || slash == std::string::npos) continue;
          const std::string folder = shard.names[i].substr(0, slash);
          if (folder_of.emplace(shard.label[i], folder).first->second != folder)
            give_up("label " + std::to_string(shard.label[i]) + " has images of several folders");
        }
      }
    }
    std::vector<ClassInfo> classes;
    for (const auto& [label, folder] : folder_of) {
      if (label != static_cast<int32_t>(classes.size()))
        give_up("no image names class " + std::to_string(classes.size()));
      if (!classes.empty() && folder <= classes.back().wnid) give_up("folders are not in the order of their labels");
      classes.push_back({folder, options_.class_names ? options_.class_names(folder) : std::string()});
    }
    if (most >= static_cast<int32_t>(classes.size())) give_up("no image names class " + std::to_string(classes.size()));
    return classes;
  }

  FileSystem& fs_;
  const std::filesystem::path folder_;
  const RepairOptions& options_;
  std::optional<Manifest> manifest_;
  std::string manifest_damage_, index_damage_;  // Empty: none.
  std::vector<SplitPlan> splits_;
  std::map<std::string, std::vector<uint64_t>> old_ids_;  // By the dataset index, of every split.
  std::vector<SplitColumns> columns_;
  bool all_columns_ = false;
  RepairReport report_;
};

}  // namespace

RepairReport repair_dataset(FileSystem& fs, const std::filesystem::path& dataset, const RepairOptions& options) {
  return Repair(fs, dataset, options).run();
}

}  // namespace imgpack
