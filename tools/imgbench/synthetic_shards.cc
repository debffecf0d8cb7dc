#include "tools/imgbench/synthetic_shards.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <utility>

#include "format/layout.h"
#include "format/record.h"
#include "format/shard_writer.h"
#include "tools/imgbench/synthetic_records.h"

namespace imgbench {

using namespace imgpack;

namespace {

constexpr uint64_t kShardBytes = 512ull << 20;
constexpr uint32_t kClasses = 1000;
constexpr uint32_t kSegmentBytes = 65'537;  // Of the longest comment: marker, length, 65,533 bytes.

RecordMeta meta_of(uint64_t record, uint32_t width, uint32_t height) {
  char name[48];
  std::snprintf(name, sizeof name, "n%08u/%010llu.JPEG", static_cast<uint32_t>(record % kClasses),
                static_cast<unsigned long long>(record));
  RecordMeta meta;
  meta.name = name;
  meta.id = sample_id("train", meta.name);
  meta.label = static_cast<int32_t>(record % kClasses);
  meta.width = width;
  meta.height = height;
  return meta;
}

// Every name has the same length, so every header has.
uint32_t header_bytes() {
  return static_cast<uint32_t>(layout::record_header::kFixedBytes + layout::section_entry::kBytes +
                               meta_of(0, 1, 1).name.size() + layout::record_header::kChecksumBytes);
}

}  // namespace

struct SyntheticShards::Shard {
  uint64_t first_record = 0;
  std::vector<uint64_t> begin;  // Of every record, and the end.
};

class SyntheticShards::File : public RandomAccessFile {
 public:
  File(const SyntheticShards& all, std::filesystem::path path, std::shared_ptr<const Shard> shard)
      : all_(all), path_(std::move(path)), shard_(std::move(shard)) {}

  size_t read_at(uint64_t offset, std::span<std::byte> out) const override {
    const auto& begin = shard_->begin;
    uint64_t at = std::max(offset, begin.front());
    const uint64_t end = std::min(offset + out.size(), begin.back());
    std::fill(out.begin(), out.end(), std::byte{0});
    auto next = std::upper_bound(begin.begin(), begin.end(), at) - 1;
    for (; at < end; ++next) {
      const auto record = static_cast<uint64_t>(next - begin.begin());
      const auto length = static_cast<uint32_t>(next[1] - next[0]);
      const std::vector<std::byte> bytes = all_.record_bytes(shard_->first_record + record, length - header_bytes());
      const uint64_t stop = std::min(end, next[1]);
      std::copy(bytes.begin() + static_cast<ptrdiff_t>(at - next[0]),
                bytes.begin() + static_cast<ptrdiff_t>(stop - next[0]),
                out.begin() + static_cast<ptrdiff_t>(at - offset));
      at = stop;
    }
    return static_cast<size_t>(std::min<uint64_t>(out.size(), size() - std::min(size(), offset)));
  }
  uint64_t size() const override { return shard_->begin.back() + layout::shard_footer::kBytes; }
  const std::filesystem::path& path() const override { return path_; }

 private:
  const SyntheticShards& all_;
  const std::filesystem::path path_;
  const std::shared_ptr<const Shard> shard_;
};

SyntheticShards::SyntheticShards(FileSystem& base, std::filesystem::path folder, std::vector<std::byte> jpeg,
                                 uint32_t width, uint32_t height)
    : base_(base), folder_(std::move(folder)), jpeg_(std::move(jpeg)), width_(width), height_(height) {}

SyntheticShards::~SyntheticShards() = default;

void SyntheticShards::publish(uint64_t records) {
  std::mt19937_64 random(3);
  std::lognormal_distribution<double> lengths(std::log(97'000.0), 0.5);
  SplitColumns columns{"train", {}};
  uint64_t at = 0;
  std::vector<std::shared_ptr<Shard>> shards;
  for (uint64_t r = 0; r < records; ++r) {
    if (shards.empty() || at > kShardBytes) {
      if (!shards.empty()) shards.back()->begin.push_back(at);
      columns.shards.emplace_back();
      shards.push_back(std::make_shared<Shard>());
      shards.back()->first_record = r;
      at = layout::shard_header::kBytes;
    }
    auto image = static_cast<uint32_t>(std::clamp(lengths(random), 8'000.0, 4e6) + static_cast<double>(jpeg_.size()));
    // A comment takes four bytes at least.
    if ((image - jpeg_.size()) % kSegmentBytes < 4) image += 4;
    columns.shards.back().append(meta_of(r, width_, height_), header_bytes() + image, image, 0);
    shards.back()->begin.push_back(at);
    at += header_bytes() + image;
  }
  if (!shards.empty()) shards.back()->begin.push_back(at);
  shards_.assign(shards.begin(), shards.end());
  base_.make_directories(folder_);
  publish_without_shards(base_, folder_, columns);
}

std::unique_ptr<RandomAccessFile> SyntheticShards::open(const std::filesystem::path& path) {
  if (path.extension() != ".ipk") return base_.open(path);
  for (uint32_t s = 0; s < shards_.size(); ++s)
    if (path == folder_ / shard_file_name("train", s)) return std::make_unique<File>(*this, path, shards_[s]);
  return base_.open(path);
}

std::vector<std::byte> SyntheticShards::record_bytes(uint64_t record, uint32_t image_bytes) const {
  std::vector<std::byte> image;
  image.reserve(image_bytes);
  image.insert(image.end(), jpeg_.begin(), jpeg_.begin() + 2);
  for (uint64_t padding = image_bytes - jpeg_.size(); padding > 0;) {
    const uint64_t segment = std::min<uint64_t>(kSegmentBytes, padding);
    const uint64_t length = segment - 2;
    for (const uint64_t byte : {uint64_t{0xff}, uint64_t{0xfe}, length >> 8, length & 0xff})
      image.push_back(static_cast<std::byte>(byte));
    image.resize(image.size() + segment - 4, static_cast<std::byte>(record));
    padding -= segment;
  }
  image.insert(image.end(), jpeg_.begin() + 2, jpeg_.end());
  Record made{meta_of(record, width_, height_), {}};
  made.sections.push_back({SectionType::kImage, true, std::move(image)});
  return encode_record(made);
}

}  // namespace imgbench
