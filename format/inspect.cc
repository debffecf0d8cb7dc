#include "format/inspect.h"

#include <algorithm>
#include <cstdio>

#include "format/checksum.h"
#include "format/quantity_text.h"
#include "format/strict_json.h"

namespace imgpack {
namespace {

constexpr const char* kFlagNames[] = {"gray",      "progressive", "converted",     "resized",
                                      "reencoded", "transcoded",  "exif_oriented", "reference_only"};

Spread spread(std::vector<uint64_t> values) {
  Spread result;
  if (values.empty()) return result;
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (const uint64_t value : values) sum += static_cast<double>(value);
  const size_t last = values.size() - 1;
  result.least = values.front();
  result.median = values[last / 2];
  result.p95 = values[last * 95 / 100];
  result.most = values.back();
  result.mean = sum / static_cast<double>(values.size());
  return result;
}

SplitSummary summarize_split(const SplitView& view, size_t class_count) {
  const IndexColumns& columns = view.columns;
  SplitSummary split;
  split.name = view.info.name;
  split.labeled = view.info.labeled;
  split.records = view.records();
  split.shards = view.info.shards.size();
  for (const ShardSummary& shard : view.info.shards) {
    split.bytes += shard.bytes;
    split.index_bytes += shard.bytes - shard.index_offset;
  }
  std::vector<uint64_t> pixels;
  std::vector<uint64_t> per_class(split.labeled ? class_count : 0);
  for (size_t i = 0; i < columns.size(); ++i) {
    split.image_bytes += columns.image_bytes[i];
    split.entropy_bytes += columns.entropy_bytes[i];
    if (columns.entropy_bytes[i] != 0) ++split.with_entropy_index;
    pixels.push_back(uint64_t{columns.width[i]} * columns.height[i]);
    if (split.labeled) ++per_class[static_cast<size_t>(columns.label[i])];
    for (unsigned bit = 0; bit < std::size(kFlagNames); ++bit)
      if (columns.flags[i] & (1u << bit)) ++split.flags[kFlagNames[bit]];
  }
  split.classes_without_records = static_cast<uint64_t>(std::count(per_class.begin(), per_class.end(), 0u));
  split.image_size = spread({columns.image_bytes.begin(), columns.image_bytes.end()});
  split.width = spread({columns.width.begin(), columns.width.end()});
  split.height = spread({columns.height.begin(), columns.height.end()});
  split.pixels = spread(std::move(pixels));
  split.per_class = spread(std::move(per_class));
  return split;
}

std::string percent(uint64_t part, uint64_t whole) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%",
                whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole));
  return text;
}

std::string line(const char* label, const std::string& value) {
  std::string out = "  ";
  out += label;
  out.resize(std::max<size_t>(out.size() + 1, 22), ' ');
  return out + value + "\n";
}

std::string spread_text(const Spread& s) {
  char mean[32];
  std::snprintf(mean, sizeof mean, "%.1f", s.mean);
  return "mean " + std::string(mean) + ", least " + std::to_string(s.least) + ", median " + std::to_string(s.median) +
         ", 95 % below " + std::to_string(s.p95) + ", most " + std::to_string(s.most);
}

std::string spread_json(const Spread& s) {
  char mean[32];
  std::snprintf(mean, sizeof mean, "%.3f", s.mean);
  return "{\"least\": " + std::to_string(s.least) + ", \"median\": " + std::to_string(s.median) +
         ", \"p95\": " + std::to_string(s.p95) + ", \"most\": " + std::to_string(s.most) + ", \"mean\": " + mean + "}";
}

std::string strings_json(const std::map<std::string, std::string>& strings) {
  std::string out = "{";
  for (const auto& [key, value] : strings)
    out += (out.size() > 1 ? ", " : "") + json_quote(key) + ": " + json_quote(value);
  return out + "}";
}

std::string split_json(const SplitSummary& s) {
  std::string flags = "{";
  for (const auto& [name, count] : s.flags)
    flags += (flags.size() > 1 ? ", " : "") + json_quote(name) + ": " + std::to_string(count);
  return "{\"name\": " + json_quote(s.name) + ", \"labeled\": " + (s.labeled ? "true" : "false") +
         ", \"records\": " + std::to_string(s.records) + ", \"shards\": " + std::to_string(s.shards) +
         ", \"bytes\": " + std::to_string(s.bytes) + ", \"image_bytes\": " + std::to_string(s.image_bytes) +
         ", \"entropy_bytes\": " + std::to_string(s.entropy_bytes) +
         ", \"index_bytes\": " + std::to_string(s.index_bytes) +
         ", \"with_entropy_index\": " + std::to_string(s.with_entropy_index) +
         ", \"classes_without_records\": " + std::to_string(s.classes_without_records) +
         ", \"image_size\": " + spread_json(s.image_size) + ", \"width\": " + spread_json(s.width) +
         ", \"height\": " + spread_json(s.height) + ", \"pixels\": " + spread_json(s.pixels) +
         ", \"per_class\": " + spread_json(s.per_class) + ", \"flags\": " + flags + "}}";
}

}  // namespace

const char* record_flag_name(unsigned bit) {
  return bit < std::size(kFlagNames) ? kFlagNames[bit] : nullptr;
}

DatasetSummary summarize(const Dataset& dataset) {
  DatasetSummary summary{dataset.folder(), dataset.manifest(), {}};
  for (const SplitInfo& info : dataset.manifest().splits)
    summary.splits.push_back(summarize_split(dataset.split(info.name), dataset.manifest().classes.size()));
  return summary;
}

std::string to_text(const DatasetSummary& summary) {
  const Manifest& m = summary.manifest;
  std::string out = summary.folder.string() + "\n";
  out += line("dataset id", m.dataset_id);
  out += line("format",
              std::to_string(m.format_major) + "." + std::to_string(m.format_minor) + ", written by " + m.created_by);
  out += line("classes", std::to_string(m.classes.size()));
  out += line("seed, plan id", std::to_string(m.seed) + ", " + to_hex(m.plan_id));
  out += line("dataset index",
              format_bytes(m.index_bytes) + ", " + format_bytes(m.index_plan_bytes) + " of it without names");
  for (const auto& [key, value] : m.options) out += line(("option " + key).c_str(), value);
  for (const auto& [key, value] : m.provenance) out += line(("source " + key).c_str(), value);
  for (const LabelSetInfo& set : m.label_sets)
    out += line("label set", set.name + " for " + set.split + ", " + set.file);
  if (!m.skipped.empty()) out += line("skipped", std::to_string(m.skipped.size()) + " images, listed in the manifest");
  for (const SplitSummary& s : summary.splits) {
    out += "\nsplit " + s.name + (s.labeled ? "" : " (without labels)") + "\n";
    out += line("records",
                std::to_string(s.records) + " in " + std::to_string(s.shards) + " shards, " + format_bytes(s.bytes));
    out += line("images", format_bytes(s.image_bytes) + " (" + percent(s.image_bytes, s.bytes) + ")");
    out += line("entropy indexes", format_bytes(s.entropy_bytes) + " (" + percent(s.entropy_bytes, s.bytes) + "), of " +
                                       percent(s.with_entropy_index, s.records) + " of the records");
    out += line("shard indexes", format_bytes(s.index_bytes) + " (" + percent(s.index_bytes, s.bytes) + ")");
    out += line("bytes per image", spread_text(s.image_size));
    out += line("width", spread_text(s.width));
    out += line("height", spread_text(s.height));
    if (s.labeled) out += line("records per class", spread_text(s.per_class));
    if (s.classes_without_records != 0) out += line("classes without any", std::to_string(s.classes_without_records));
    for (const auto& [name, count] : s.flags)
      out += line(name.c_str(), std::to_string(count) + " (" + percent(count, s.records) + ")");
  }
  return out;
}

std::string to_json(const DatasetSummary& summary) {
  const Manifest& m = summary.manifest;
  std::string out = "{\n  \"format\": \"imgpack.summary\",\n";
  out += "  \"dataset\": " + json_quote(summary.folder.string()) + ",\n";
  out += "  \"dataset_id\": " + json_quote(m.dataset_id) + ",\n";
  out += "  \"format_version\": {\"major\": " + std::to_string(m.format_major) +
         ", \"minor\": " + std::to_string(m.format_minor) + "},\n";
  out += "  \"created_by\": " + json_quote(m.created_by) + ",\n";
  out += "  \"seed\": " + std::to_string(m.seed) + ",\n";
  out += "  \"plan_id\": " + json_quote(to_hex(m.plan_id)) + ",\n";
  out += "  \"classes\": " + std::to_string(m.classes.size()) + ",\n";
  out += "  \"index_bytes\": " + std::to_string(m.index_bytes) + ",\n";
  out += "  \"options\": " + strings_json(m.options) + ",\n";
  out += "  \"provenance\": " + strings_json(m.provenance) + ",\n";
  out += "  \"label_sets\": [";
  for (size_t i = 0; i < m.label_sets.size(); ++i)
    out += (i == 0 ? "" : ", ") + std::string("{\"name\": ") + json_quote(m.label_sets[i].name) +
           ", \"split\": " + json_quote(m.label_sets[i].split) + "}";
  out += "],\n  \"skipped\": " + std::to_string(m.skipped.size()) + ",\n";
  out += "  \"splits\": [";
  for (size_t i = 0; i < summary.splits.size(); ++i)
    out += (i == 0 ? "\n    " : ",\n    ") + split_json(summary.splits[i]);
  out += summary.splits.empty() ? "]\n}\n" : "\n  ]\n}\n";
  return out;
}

}  // namespace imgpack
