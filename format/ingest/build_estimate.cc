#include "format/ingest/build_estimate.h"

#include <algorithm>
#include <chrono>

#include "format/error.h"
#include "format/ingest/archive_layout.h"
#include "format/ingest/image_preparation.h"
#include "format/ingest/spill_store.h"

namespace imgpack::ingest {
namespace {

constexpr uint64_t kMiB = 1ull << 20;
constexpr double kTrialSeconds = 1;
// Measured at full ImageNet's 1.43 million names, rounded up.
constexpr uint64_t kBytesPerImage = 400;
constexpr uint64_t kArchiveBytesPerImage = 650;
constexpr uint64_t kIndexBytesPerImage = 24;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Trial {
 public:
  explicit Trial(const PackOptions& options) : options_(options), started_(seconds_now()) {}

  bool is_over() const { return result_.images >= kTrialImages || seconds_now() - started_ > kTrialSeconds; }

  void pack(const std::string& split, const SourceImage& image, std::vector<std::byte> bytes) {
    const uint64_t size = bytes.size();
    if (refuse_name(split, image)) return;
    const auto prepared = prepare_image(split, image, std::move(bytes), options_, decoding_);
    if (const auto* record = std::get_if<Record>(&prepared)) {
      ++result_.images;
      result_.source_bytes += size;
      result_.packed_bytes += encode_record(*record).size();
    }
  }

  PackTrial result() {
    result_.seconds = seconds_now() - started_;
    return result_;
  }

 private:
  const PackOptions& options_;
  const double started_;
  MemoryBudget decoding_{decoding_budget_bytes(1)};
  PackTrial result_;
};

}  // namespace

PackTrial try_images(const SourceScan& scan, ImageReader& reader, const PackOptions& options) {
  uint64_t all = 0;
  for (const SourceSplit& split : scan.splits) all += split.images.size();
  const uint64_t step = std::max<uint64_t>(1, all / kTrialImages);
  Trial trial(options);
  uint64_t position = 0;
  for (const SourceSplit& split : scan.splits) {
    for (const SourceImage& image : split.images) {
      if (position++ % step != 0) continue;
      if (trial.is_over()) return trial.result();
      try {
        trial.pack(split.name, image, reader.read(split, image));
      } catch (const Error& error) {
        // Build will say which files cannot be read.
        if (error.kind() != ErrorKind::kIo) throw;
      }
    }
  }
  return trial.result();
}

PackTrial try_archive(FileSystem& fs, const ArchiveSet& archives, const PackOptions& options) {
  ArchiveWalk walk(fs, archives);
  PlaceGuess guess;
  Trial trial(options);
  while (!trial.is_over()) {
    const auto index = walk.next();
    if (!index) break;
    const ArchivedImage& image = walk.contents().images[*index];
    const auto place = guess.place(image.path, image.bytes);
    if (place) trial.pack(place->split, place->image, walk.read());
  }
  return trial.result();
}

BuildEstimate estimate_build(const BuildSize& size, const PackTrial& trial, const PackOptions& options,
                             uint32_t threads) {
  BuildEstimate estimate;
  const auto bytes = static_cast<double>(size.source_bytes);
  const double ratio = trial.source_bytes == 0
                           ? 1.03
                           : static_cast<double>(trial.packed_bytes) / static_cast<double>(trial.source_bytes);
  estimate.disk_bytes = static_cast<uint64_t>(bytes * ratio) + size.images * kIndexBytesPerImage;
  if (size.is_archive) {
    estimate.extra_disk_bytes = std::min(estimate.disk_bytes, std::max(options.shard_bytes, estimate.disk_bytes / 512));
  }
  const uint64_t images = size.images > 0 || trial.images == 0
                              ? size.images
                              : size.source_bytes / std::max<uint64_t>(1, trial.source_bytes / trial.images);
  estimate.memory_bytes = images * (size.is_archive ? kArchiveBytesPerImage : kBytesPerImage) + 64 * kMiB +
                          in_flight_budget_bytes(threads) + decoding_budget_bytes(threads) +
                          (size.is_archive ? 2 * kSpillBufferBytes * size.splits : 0);
  if (trial.source_bytes > 0)
    estimate.seconds = trial.seconds * bytes / static_cast<double>(trial.source_bytes) / std::max(1u, threads);
  return estimate;
}

}  // namespace imgpack::ingest
