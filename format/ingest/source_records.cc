#include "format/ingest/source_records.h"

#include <algorithm>
#include <utility>

#include "format/error.h"
#include "format/ingest/image_preparation.h"
#include "format/record.h"

namespace imgpack::ingest {

namespace {

std::vector<std::string> names_in_shard(const SourceScan& scan, const ShardHeader& shard) {
  std::vector<std::string> names;
  const SourceSplit* split = scan.find(shard.split);
  if (split == nullptr) return names;
  for (const SourceImage& image : split->images) {
    const uint64_t key = order_key(shard.seed, shard.split, image.name());
    if (is_canonical_name(image.name()) && shard_of_key(key, shard.shard_count) == shard.number)
      names.emplace_back(image.name());
  }
  return names;
}

}  // namespace

SourceRecords::SourceRecords(const LabeledSource& source, ImageReader& reader, PackOptions options)
    : source_(source), reader_(reader), options_(std::move(options)), decoding_(decoding_budget_bytes(1)) {}

std::vector<std::string> SourceRecords::names(const ShardHeader& shard) {
  return names_in_shard(source_.scan, shard);
}

std::vector<std::string> NotedRecords::names(const ShardHeader& shard) {
  return names_in_shard(source_.scan, shard);
}

std::variant<Record, std::string> NotedRecords::make(const std::string& split, const std::string& name) {
  noted_.emplace(split, name);
  return "not read yet";
}

std::variant<Record, std::string> SourceRecords::make(const std::string& split_name, const std::string& name) {
  const auto split = std::find_if(source_.scan.splits.begin(), source_.scan.splits.end(),
                                  [&](const SourceSplit& one) { return one.name == split_name; });
  if (split == source_.scan.splits.end()) return "the source has no split " + split_name;
  // Sorted by name.
  const auto image =
      std::lower_bound(split->images.begin(), split->images.end(), name,
                       [](const SourceImage& one, const std::string& wanted) { return one.name() < wanted; });
  if (image == split->images.end() || image->name() != name) return std::string("the source has no such image");
  if (const auto refused = refuse_name(split_name, *image)) return refused->reason;
  auto made = prepare_image(split_name, *image, reader_.read(*split, *image), options_, decoding_);
  if (const auto* skipped = std::get_if<SkippedSource>(&made)) return skipped->reason;
  auto& record = std::get<Record>(made);
  const auto position = static_cast<size_t>(split - source_.scan.splits.begin());
  record.meta.label = source_.splits[position].labels[static_cast<size_t>(image - split->images.begin())];
  return std::move(record);
}

}  // namespace imgpack::ingest
