#include "format/split_dataset.h"

#include <algorithm>
#include <cmath>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <utility>

#include "format/checksum.h"
#include "format/error.h"
#include "format/label_set.h"
#include "format/nearest_name.h"
#include "format/shard_codec.h"
#include "format/shard_writer.h"
#include "format/staged_folder.h"

namespace imgpack {
namespace {

constexpr size_t kOpenFiles = 64;
constexpr uint64_t kDrawSeed = 0x686f6c646f757400;  // Draws of its own, unrelated to the order of records.

[[noreturn]] void fail(const std::string& what, const std::filesystem::path& folder, const std::string& hint = {}) {
  throw Error(ErrorKind::kInvalidInput, what, folder, {}, hint);
}

// Shard files that were read last stay open: records of a new split come from all of them in turn.
class OpenShards {
 public:
  explicit OpenShards(FileSystem& fs) : fs_(fs) {}
  const RandomAccessFile& file(const std::filesystem::path& path) {
    for (auto it = files_.begin(); it != files_.end(); ++it) {
      if ((*it)->path() != path) continue;
      files_.splice(files_.begin(), files_, it);
      return *files_.front();
    }
    if (files_.size() == kOpenFiles) files_.pop_back();
    files_.push_front(fs_.open(path));
    return *files_.front();
  }

 private:
  FileSystem& fs_;
  std::list<std::unique_ptr<RandomAccessFile>> files_;
};

// A record of a split to come.
struct Member {
  uint64_t key = 0;
  uint64_t record = 0;  // In its old split.
};

struct NewSplit {
  std::string name;
  const SplitView* from = nullptr;
  std::vector<Member> members;  // In record order.
  bool moved = false;           // To another split than it was in.
};

class SplitRun {
 public:
  SplitRun(FileSystem& fs, const Dataset& source, const std::filesystem::path& out, const SplitDatasetOptions& options)
      : fs_(fs), source_(source), options_(options), out_(fs, out), files_(fs) {}

  Manifest run() {
    choose_classes();
    choose_splits();
    Manifest manifest = source_.manifest();
    manifest.classes = classes_;
    manifest.created_by = options_.created_by;
    manifest.plan_id = plan_id();
    manifest.provenance["derived from"] = source_.manifest().dataset_id;
    manifest.provenance["derived by"] = rule_text();
    manifest.splits.clear();
    manifest.label_sets.clear();
    std::vector<SplitColumns> columns;
    for (const NewSplit& split : splits_) {
      columns.push_back({split.name, {}});
      manifest.splits.push_back(write_split(split, manifest, columns.back()));
    }
    // Records that were left out are not skipped images, and those that were skipped stay so where their split does.
    std::erase_if(manifest.skipped, [&](const SkippedSource& one) {
      return std::none_of(splits_.begin(), splits_.end(),
                          [&](const NewSplit& split) { return split.name == one.split && !split.moved; });
    });
    const std::filesystem::path folder = out_.place(kManifestFile).parent_path();
    publish_dataset_index(fs_, folder, columns, manifest);
    copy_label_sets(manifest, columns, folder);
    manifest.dataset_id = compute_dataset_id(manifest);
    publish_manifest(fs_, folder, manifest);
    out_.commit();
    return manifest;
  }

 private:
  void choose_classes() {
    const auto& all = source_.manifest().classes;
    new_label_.assign(all.size(), kNoLabel);
    const std::set<std::string> wanted(options_.classes.begin(), options_.classes.end());
    std::vector<std::string> known;
    known.reserve(all.size());
    for (const ClassInfo& one : all) known.push_back(one.wnid);
    for (const std::string& wnid : wanted) {
      if (std::find(known.begin(), known.end(), wnid) == known.end())
        fail("the dataset has no class '" + wnid + "'" + did_you_mean(wnid, known), source_.folder());
    }
    for (size_t i = 0; i < all.size(); ++i) {
      if (!wanted.empty() && !wanted.contains(all[i].wnid)) continue;
      new_label_[i] = static_cast<int32_t>(classes_.size());
      classes_.push_back(all[i]);
    }
  }

  bool is_kept(const SplitView& split, uint64_t record) const {
    const int32_t label = split.columns.label[record];
    return label == kNoLabel || new_label_[static_cast<size_t>(label)] != kNoLabel;
  }

  void choose_splits() {
    std::vector<std::string> names = options_.splits;
    if (names.empty())
      for (const SplitInfo& split : source_.manifest().splits) names.push_back(split.name);
    std::map<std::string, std::vector<uint64_t>> taken;  // Of every split, the positions that are held out.
    if (options_.hold_out) {
      const HoldOut& rule = *options_.hold_out;
      const SplitView& from = source_.split(rule.from);
      if (!from.info.labeled) fail("split " + rule.from + " has no labels to choose by", source_.folder());
      if (!is_split_name(rule.to)) fail("not a split's name: '" + rule.to + "'", source_.folder());
      if (std::find(names.begin(), names.end(), rule.to) != names.end())
        fail("there is a split '" + rule.to + "' already", source_.folder(),
             "name the new one otherwise, or leave that out");
      taken[rule.from] = held_out(from, rule);
      if (taken[rule.from].empty())
        fail("nothing would be held out of " + std::to_string(from.records()) + " records", source_.folder());
    }
    for (const std::string& name : names) add_split(name, source_.split(name), taken[name], false);
    if (options_.hold_out)
      add_split(options_.hold_out->to, source_.split(options_.hold_out->from), taken[options_.hold_out->from], true);
  }

  void add_split(const std::string& name, const SplitView& from, const std::vector<uint64_t>& taken, bool moved) {
    NewSplit split{name, &from, {}, moved};
    for (uint64_t i = 0; i < from.records(); ++i) {
      if (std::binary_search(taken.begin(), taken.end(), i) != moved || !is_kept(from, i)) continue;
      split.members.push_back({order_key(source_.manifest().seed, name, from.columns.names[i]), i});
    }
    if (split.members.empty()) fail("split '" + name + "' would have no record", source_.folder());
    std::sort(split.members.begin(), split.members.end(), [&](const Member& a, const Member& b) {
      return std::tie(a.key, from.columns.names[a.record]) < std::tie(b.key, from.columns.names[b.record]);
    });
    splits_.push_back(std::move(split));
  }

  std::string rule_text() const {
    std::string text = "classes " + (options_.classes.empty() ? std::string("all") : std::to_string(classes_.size()));
    for (const NewSplit& split : splits_)
      text += ", " + split.name + " " + std::to_string(split.members.size()) + " of " + split.from->info.name;
    if (options_.hold_out) text += ", seed " + std::to_string(options_.hold_out->seed);
    return text;
  }

  uint64_t plan_id() const {
    std::string text = "imgpack split\n" + source_.manifest().dataset_id + "\n" + to_hex(source_.manifest().plan_id) +
                       "\n" + rule_text();
    for (const ClassInfo& one : classes_) text += "\n" + one.wnid;
    return checksum(text);
  }

  // The smallest power of two that makes shards no larger than the largest of the source.
  uint32_t shard_count(const NewSplit& split) const {
    uint64_t bytes = 0, most = 1;
    for (const Member& member : split.members) bytes += split.from->columns.record_bytes[member.record];
    for (const SplitInfo& info : source_.manifest().splits)
      for (const ShardSummary& shard : info.shards) most = std::max(most, shard.bytes);
    uint32_t count = 1;
    while (bytes / count > most && count < split.members.size()) count *= 2;
    return count;
  }

  SplitInfo write_split(const NewSplit& split, const Manifest& manifest, SplitColumns& columns) {
    SplitInfo info{split.name, split.members.size(), split.from->info.labeled, {}};
    const uint32_t count = shard_count(split);
    size_t at = 0;
    for (uint32_t number = 0; number < count; ++number) {
      ShardWriter writer(fs_, out_.place(shard_file_name(split.name, number)),
                         {split.name, number, count, manifest.seed, manifest.plan_id});
      for (; at < split.members.size() && shard_of_key(split.members[at].key, count) == number; ++at) {
        copy_record(split, split.members[at].record, writer);
        if (options_.on_record) options_.on_record();
      }
      info.shards.push_back(writer.finish());
      columns.shards.push_back(writer.columns());
    }
    return info;
  }

  void copy_record(const NewSplit& split, uint64_t record, ShardWriter& writer) {
    const SplitView& from = *split.from;
    const std::filesystem::path path = source_.shard_path(from.info.name, from.shard[record]);
    std::vector<std::byte> bytes(from.columns.record_bytes[record]);
    read_exactly(files_.file(path), from.offset[record], bytes);
    const RecordView view = parse_record(bytes, path, from.offset[record]);
    if (view.meta.id != from.columns.id[record] || view.meta.name != from.columns.names[record] ||
        view.meta.label != from.columns.label[record])
      throw Error(ErrorKind::kCorruption, "record and index differ", path, from.offset[record],
                  "imgpack verify " + source_.folder().string());
    const int32_t label = view.meta.label == kNoLabel ? kNoLabel : new_label_[static_cast<size_t>(view.meta.label)];
    if (!split.moved && label == view.meta.label) {
      writer.append_encoded(bytes);
      return;
    }
    Record copy{view.meta, {}};
    copy.meta.id = sample_id(split.name, view.meta.name);
    copy.meta.label = label;
    for (const SectionView& section : view.sections)
      copy.sections.push_back({section.type, section.must_understand, {section.bytes.begin(), section.bytes.end()}});
    writer.append(copy);
  }

  void copy_label_sets(Manifest& manifest, const std::vector<SplitColumns>& columns,
                       const std::filesystem::path& folder) {
    for (const LabelSetInfo& info : source_.manifest().label_sets) {
      for (size_t s = 0; s < splits_.size(); ++s) {
        if (splits_[s].name != info.split || splits_[s].moved) continue;
        const LabelSet old = read_label_set(fs_, source_.folder(), info);
        if (old.labels.size() != splits_[s].from->records() || old.classes != new_label_.size())
          throw Error(ErrorKind::kCorruption, "label set belongs to other records", source_.folder() / info.file);
        std::vector<uint64_t> ids;
        for (const IndexColumns& shard : columns[s].shards) ids.insert(ids.end(), shard.id.begin(), shard.id.end());
        LabelSet set{old.name, old.split, static_cast<uint32_t>(classes_.size()), ids_checksum(ids), {}};
        for (const Member& member : splits_[s].members) {
          std::vector<int32_t> labels;
          // Kept classes keep their order, so that what was ascending stays so.
          for (const int32_t label : old.labels[member.record]) {
            if (new_label_[static_cast<size_t>(label)] != kNoLabel)
              labels.push_back(new_label_[static_cast<size_t>(label)]);
          }
          set.labels.push_back(std::move(labels));
        }
        manifest.label_sets.push_back(publish_label_set(fs_, folder, set));
      }
    }
  }

  FileSystem& fs_;
  const Dataset& source_;
  const SplitDatasetOptions& options_;
  StagedFolder out_;
  OpenShards files_;
  std::vector<ClassInfo> classes_;
  std::vector<int32_t> new_label_;  // Of every old label; kNoLabel: not kept.
  std::vector<NewSplit> splits_;
};

}  // namespace

std::vector<uint64_t> held_out(const SplitView& split, const HoldOut& rule) {
  std::map<int32_t, std::vector<std::pair<uint64_t, uint64_t>>> draws;  // Label -> (draw, record).
  for (uint64_t i = 0; i < split.records(); ++i)
    draws[split.columns.label[i]].emplace_back(order_key(rule.seed ^ kDrawSeed, split.columns.id[i]), i);
  std::vector<uint64_t> taken;
  for (auto& [label, records] : draws) {
    std::sort(records.begin(), records.end());
    const uint64_t wanted = rule.per_class > 0
                                ? rule.per_class
                                : static_cast<uint64_t>(std::llround(rule.share * static_cast<double>(records.size())));
    for (uint64_t k = 0; k < std::min<uint64_t>(wanted, records.size()); ++k) taken.push_back(records[k].second);
  }
  std::sort(taken.begin(), taken.end());
  return taken;
}

Manifest split_dataset(FileSystem& fs, const Dataset& source, const std::filesystem::path& out,
                       const SplitDatasetOptions& options) {
  return SplitRun(fs, source, out, options).run();
}

}  // namespace imgpack
