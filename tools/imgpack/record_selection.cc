#include "tools/imgpack/record_selection.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "format/error.h"
#include "format/inspect.h"
#include "format/nearest_name.h"
#include "format/shard_reader.h"

namespace imgpack {
namespace {

int32_t label_of_class(const Dataset& dataset, const std::string& name) {
  const auto& classes = dataset.manifest().classes;
  std::vector<std::string> known;
  for (size_t i = 0; i < classes.size(); ++i) {
    if (classes[i].wnid == name) return static_cast<int32_t>(i);
    known.push_back(classes[i].wnid);
  }
  throw Error(ErrorKind::kUsage, "--class: the dataset has no class '" + name + "'" + did_you_mean(name, known));
}

}  // namespace

std::vector<cli::Option> selection_options() {
  return {{.name = "split", .value = "SPLIT", .help = "Only this split: train, val or test."},
          {.name = "class", .value = "CLASS", .help = "Only this class, by its folder name (WNID)."}};
}

std::vector<SelectedRecord> select_records(const Dataset& dataset, const cli::Arguments& arguments,
                                           const std::vector<std::string>& names) {
  std::vector<const SplitView*> splits;
  if (arguments.has("split")) {
    splits.push_back(&dataset.split(arguments.text("split")));
  } else {
    for (const SplitInfo& split : dataset.manifest().splits) splits.push_back(&dataset.split(split.name));
  }
  const auto class_wanted = arguments.find("class");
  const int32_t label = class_wanted ? label_of_class(dataset, *class_wanted) : kNoLabel;
  const std::set<std::string, std::less<>> wanted(names.begin(), names.end());
  std::set<std::string, std::less<>> found;
  std::vector<SelectedRecord> selected;
  for (const SplitView* split : splits) {
    for (uint64_t i = 0; i < split->records(); ++i) {
      if (class_wanted && split->columns.label[i] != label) continue;
      if (!wanted.empty()) {
        const std::string& name = split->columns.names[i];
        const std::string whole = split->info.name + "/" + name;
        const bool is_wanted = wanted.contains(name) || wanted.contains(whole);
        if (!is_wanted) continue;
        found.insert(wanted.contains(name) ? name : whole);
      }
      selected.push_back({split, i});
    }
  }
  for (const std::string& name : wanted) {
    if (found.contains(name)) continue;
    throw Error(ErrorKind::kInvalidInput, "the dataset has no record '" + name + "' in what was asked for",
                dataset.folder(), {}, "imgpack ls " + dataset.folder().string());
  }
  return selected;
}

void for_each_record(FileSystem& fs, const Dataset& dataset, const std::vector<SelectedRecord>& records,
                     const std::function<void(const SelectedRecord&, const RecordView&)>& use) {
  std::unique_ptr<ShardReader> reader;
  std::pair<const SplitView*, uint32_t> open{nullptr, 0};
  std::vector<std::byte> buffer;
  for (const SelectedRecord& one : records) {
    const std::pair<const SplitView*, uint32_t> shard{one.split, one.split->shard[one.record]};
    if (!reader || shard != open) {
      reader = std::make_unique<ShardReader>(fs, dataset.shard_path(one.split->info.name, shard.second));
      open = shard;
    }
    use(one, reader->read(one.record - one.split->first_record[shard.second], buffer));
  }
}

std::string flag_names(uint32_t flags) {
  std::string text;
  for (unsigned bit = 0; bit < 32; ++bit) {
    if ((flags >> bit & 1) == 0) continue;
    const char* name = record_flag_name(bit);
    text += (text.empty() ? "" : ",") + (name != nullptr ? std::string(name) : "bit" + std::to_string(bit));
  }
  return text.empty() ? "-" : text;
}

std::string class_name(const Dataset& dataset, int32_t label) {
  const auto& classes = dataset.manifest().classes;
  if (label < 0 || static_cast<size_t>(label) >= classes.size()) return "-";
  return classes[static_cast<size_t>(label)].wnid;
}

}  // namespace imgpack
