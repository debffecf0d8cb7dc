#include "format/ingest/pack_plan.h"

#include <tbb/parallel_sort.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "format/checksum.h"
#include "format/error.h"
#include "format/record.h"

namespace imgpack::ingest {
namespace {

std::string flag(bool on) {
  return on ? "yes" : "no";
}

// The shortest text that reads back the same.
std::string real_text(double value) {
  char text[64];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

const char* subsampling_name(Subsampling subsampling) {
  switch (subsampling) {
    case Subsampling::k444:
      return "4:4:4";
    case Subsampling::k422:
      return "4:2:2";
    case Subsampling::k420:
      return "4:2:0";
  }
  return "?";
}

std::string shard_count_text(const std::map<std::string, uint32_t>& counts) {
  std::string text;
  for (const auto& [split, count] : counts) {
    text += (text.empty() ? "" : ",") + (split.empty() ? "" : split + "=") + std::to_string(count);
  }
  return text.empty() ? "by size" : text;
}

uint32_t shards_of(const PackOptions& options, const SourceSplit& split) {
  for (const std::string& name : {split.name, std::string()}) {
    const auto fixed = options.shard_count.find(name);
    if (fixed == options.shard_count.end()) continue;
    if (fixed->second == 0 || fixed->second > kMaxShards) {
      throw Error(ErrorKind::kUsage, "number of shards: expected 1 to " + std::to_string(kMaxShards) + ", found " +
                                         std::to_string(fixed->second));
    }
    return fixed->second;
  }
  return shard_count_for(split.bytes, split.images.size(), options.shard_bytes);
}

PlannedSplit plan_split(const SourceSplit& split, const PackOptions& options) {
  PlannedSplit plan;
  plan.name = split.name;
  plan.source_bytes = split.bytes;
  plan.order.resize(split.images.size());
  for (uint32_t i = 0; i < split.images.size(); ++i)
    plan.order[i] = {order_key(options.seed, split.name, split.images[i].name()), i};
  // Images are sorted by name, so the position stands in for it where two keys are equal.
  tbb::parallel_sort(plan.order.begin(), plan.order.end(), [](const PlannedImage& a, const PlannedImage& b) {
    return a.key != b.key ? a.key < b.key : a.image < b.image;
  });
  const uint32_t shards = shards_of(options, split);
  plan.first.push_back(0);
  for (uint32_t position = 0; position < plan.order.size(); ++position) {
    const uint32_t shard = shard_of_key(plan.order[position].key, shards);
    while (plan.first.size() <= shard) plan.first.push_back(position);
  }
  plan.first.resize(shards + 1, static_cast<uint32_t>(plan.order.size()));
  return plan;
}

// Numbers and texts with their lengths, so that no two different inputs feed the same bytes.
class Digest {
 public:
  void add(uint64_t number) {
    std::byte bytes[8];
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(number >> (8 * i));
    stream_.update(bytes);
  }
  void add(std::string_view text) {
    add(text.size());
    stream_.update(std::as_bytes(std::span(text)));
  }
  uint64_t value() const { return stream_.digest(); }

 private:
  ChecksumStream stream_;
};

uint64_t digest_of(const LabeledSource& source, const PackOptions& options, const PackPlan& plan) {
  Digest digest;
  digest.add("imgpack plan 1");
  for (const auto& [name, value] : option_texts(options)) {
    digest.add(name);
    digest.add(value);
  }
  digest.add(source.classes.classes.size());
  for (const ClassInfo& one : source.classes.classes) digest.add(one.wnid);
  for (size_t s = 0; s < plan.splits.size(); ++s) {
    const SourceSplit& split = source.scan.splits[s];
    digest.add(split.name);
    digest.add(plan.splits[s].shards());
    digest.add(split.images.size());
    for (size_t i = 0; i < split.images.size(); ++i) {
      digest.add(split.images[i].name());
      digest.add(split.images[i].bytes);
      digest.add(static_cast<uint64_t>(int64_t{source.splits[s].labels[i]}));
    }
  }
  return digest.value();
}

}  // namespace

std::map<std::string, std::string> option_texts(const PackOptions& options) {
  const NormaliseOptions& image = options.normalise;
  return {
      {"seed", std::to_string(options.seed)},
      {"shard_bytes", std::to_string(options.shard_bytes)},
      {"shards", shard_count_text(options.shard_count)},
      {"resize_short", std::to_string(image.resize_short)},
      {"resize_max", std::to_string(image.resize_max)},
      {"reencode", flag(image.reencode)},
      {"reencode_probability", real_text(options.reencode_probability)},
      {"quality", std::to_string(image.quality)},
      {"subsampling", subsampling_name(image.subsampling)},
      {"convert_quality", std::to_string(image.convert_quality)},
      {"no_larger", flag(image.no_larger)},
      {"to_baseline", flag(image.to_baseline)},
      {"optimise_huffman", flag(image.optimise_huffman)},
      {"strip_metadata", flag(image.strip_metadata)},
      {"apply_orientation", flag(image.apply_orientation)},
      {"check", image.check == StreamCheck::kWhole ? "full" : "header"},
      {"entropy_index", entropy_index_name(image.entropy_index_mcus)},
  };
}

std::string entropy_index_name(int mcus) {
  if (mcus == kNoEntropyIndex) return "none";
  return mcus == kEntropyIndexPerRow ? "row" : std::to_string(mcus);
}

PackOptions parse_option_texts(const std::map<std::string, std::string>& texts) {
  const auto fail = [](const std::string& name, const std::string& found) {
    throw Error(ErrorKind::kInvalidInput,
                "packing option '" + name + "' is not one of this version: found '" + found + "'", {}, {},
                "use the imgpack that built the dataset, or a newer one");
  };
  const auto text = [&](const char* name) -> const std::string& {
    const auto at = texts.find(name);
    if (at == texts.end()) fail(name, "nothing");
    return at->second;
  };
  const auto number = [&](const char* name, auto& value) {
    const std::string& digits = text(name);
    const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (failure != std::errc() || end != digits.data() + digits.size()) fail(name, digits);
  };
  const auto choice = [&](const char* name, auto& value, const auto& choices) {
    for (const auto& [word, meaning] : choices) {
      if (text(name) != word) continue;
      value = meaning;
      return;
    }
    fail(name, text(name));
  };
  using Flags = std::map<std::string, bool>;
  const Flags yes_or_no = {{"yes", true}, {"no", false}};
  PackOptions options;
  NormaliseOptions& image = options.normalise;
  number("seed", options.seed);
  number("shard_bytes", options.shard_bytes);
  number("resize_short", image.resize_short);
  number("resize_max", image.resize_max);
  choice("reencode", image.reencode, yes_or_no);
  number("reencode_probability", options.reencode_probability);
  number("quality", image.quality);
  choice("subsampling", image.subsampling,
         std::map<std::string, Subsampling>{
             {"4:4:4", Subsampling::k444}, {"4:2:2", Subsampling::k422}, {"4:2:0", Subsampling::k420}});
  number("convert_quality", image.convert_quality);
  choice("no_larger", image.no_larger, yes_or_no);
  choice("to_baseline", image.to_baseline, yes_or_no);
  choice("optimise_huffman", image.optimise_huffman, yes_or_no);
  choice("strip_metadata", image.strip_metadata, yes_or_no);
  choice("apply_orientation", image.apply_orientation, yes_or_no);
  choice("check", image.check,
         std::map<std::string, StreamCheck>{{"full", StreamCheck::kWhole}, {"header", StreamCheck::kHeader}});
  if (text("entropy_index") == "none") {
    image.entropy_index_mcus = kNoEntropyIndex;
  } else if (text("entropy_index") == "row") {
    image.entropy_index_mcus = kEntropyIndexPerRow;
  } else {
    number("entropy_index", image.entropy_index_mcus);
  }
  // How many shards there are is in the manifest itself; all that makes a record must have come through whole.
  auto again = option_texts(options), given = texts;
  again.erase("shards");
  given.erase("shards");
  for (const auto& [name, value] : given) {
    const auto at = again.find(name);
    if (at == again.end() || at->second != value) fail(name, value);
  }
  return options;
}

NormaliseOptions options_for(const PackOptions& options, uint64_t sample_id) {
  NormaliseOptions image = options.normalise;
  if (options.reencode_probability <= 0) return image;
  // A draw of its own: not the key of the order, or the chosen images would lie together.
  const uint64_t draw = order_key(options.seed ^ 0x7265656e636f6465, sample_id) >> 11;
  image.reencode = image.reencode || std::ldexp(static_cast<double>(draw), -53) < options.reencode_probability;
  return image;
}

uint64_t PackPlan::images() const {
  uint64_t sum = 0;
  for (const PlannedSplit& split : splits) sum += split.order.size();
  return sum;
}

uint64_t PackPlan::source_bytes() const {
  uint64_t sum = 0;
  for (const PlannedSplit& split : splits) sum += split.source_bytes;
  return sum;
}

uint32_t shard_count_for(uint64_t source_bytes, uint64_t images, uint64_t target_bytes) {
  uint32_t count = 1;
  // Compared without a product that could overflow.
  while (source_bytes / count > target_bytes || (source_bytes / count == target_bytes && source_bytes % count != 0)) {
    if (count * 2 > kMaxShards || count * 2ull > images) break;
    count *= 2;
  }
  return count;
}

PackPlan make_plan(const LabeledSource& source, const PackOptions& options) {
  if (options.shard_bytes == 0) throw Error(ErrorKind::kUsage, "shard size: expected at least 1 byte, found 0");
  PackPlan plan;
  for (const SourceSplit& split : source.scan.splits) plan.splits.push_back(plan_split(split, options));
  plan.plan_id = digest_of(source, options, plan);
  return plan;
}

}  // namespace imgpack::ingest
