// A build of ImageNet's size with next to nothing in it: 1,281,167 tiny images, so that what is timed is what each
// image costs beside its bytes. The source is a real folder: 1,000 class folders of hard links to a few files.
#include <malloc.h>
#include <sys/resource.h>

#include <cstdio>

#include "format/dataset.h"
#include "format/error.h"
#include "format/ingest/builder.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/sample_encoder.h"
#include "format/ingest/thread_limit.h"
#include "tools/cli/stop_signals.h"
#include "tools/imgbench/silent_observer.h"
#include "tools/imgbench/synthetic_records.h"
#include "tools/imgbench/workloads.h"

namespace imgbench {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
using imgpack::FileSystem;
using imgpack::posix_file_system;
namespace ingest = imgpack::ingest;

constexpr uint32_t kClasses = 1000;
constexpr uint32_t kFiles = 64;  // That the links lead to: ext4 allows 65,000 links to one.
constexpr uint32_t kSide = 16;   // Pixels.

std::vector<std::byte> tiny_jpeg(uint32_t number) {
  ingest::SamplePicture picture;
  picture.width = picture.height = kSide;
  picture.rgb.resize(3 * kSide * kSide);
  for (size_t i = 0; i < picture.rgb.size(); ++i) picture.rgb[i] = static_cast<uint8_t>(i / 3 * (number + 1));
  return ingest::encode_sample(picture, {});
}

void make_source(FileSystem& fs, const std::filesystem::path& folder) {
  const std::filesystem::path files = folder.string() + ".files";
  fs.make_directories(files);
  std::vector<std::filesystem::path> targets;
  for (uint32_t i = 0; i < kFiles; ++i) {
    targets.push_back(files / std::to_string(i));
    const auto file = fs.create(targets.back());
    file->append(tiny_jpeg(i));
    file->close();
  }
  for (uint32_t c = 0; c < kClasses; ++c) {
    char wnid[16];
    std::snprintf(wnid, sizeof wnid, "n%08u", 10'000'000 + c);
    fs.make_directories(folder / wnid);
    imgpack::cli::throw_if_stopped("nothing was measured");
    for (uint64_t i = c; i < kImageNetRecords; i += kClasses) {
      const std::string name = std::string(wnid) + "_" + std::to_string(i / kClasses) + ".JPEG";
      std::filesystem::create_hard_link(targets[i % kFiles], folder / wnid / name);
    }
  }
}

// Bytes that this process holds on its heap.
uint64_t heap_bytes() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

uint64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

class MillionWorkload : public Workload {
 public:
  explicit MillionWorkload(const BenchSettings& settings)
      : threads_(settings.threads),
        source_(settings.temporary / "million"),
        out_(settings.temporary / "million.shards") {
    make_source(posix_file_system(), source_);
    options_.created_by = "imgbench";
  }

  std::string check() override {
    run();
    const auto dataset = imgpack::Dataset::open(posix_file_system(), out_);
    const imgpack::Manifest& manifest = dataset.manifest();
    const imgpack::SplitInfo& split = dataset.split("train").info;
    if (split.records != kImageNetRecords || !manifest.skipped.empty())
      throw Error(ErrorKind::kInternal, "pack-million: expected " + std::to_string(kImageNetRecords) +
                                            " images, found " + std::to_string(split.records));
    uint64_t index_bytes = 0;
    for (const imgpack::ShardSummary& shard : split.shards) index_bytes += shard.bytes - shard.index_offset;
    const auto per_record = [&](uint64_t bytes) { return static_cast<double>(bytes) / kImageNetRecords; };
    char text[240];
    std::snprintf(text, sizeof text,
                  "every image packed; bytes per record: names, labels and plan in memory %.0f, shard index %.2f, "
                  "dataset index %.2f; peak memory %.0f MiB",
                  per_record(plan_bytes_), per_record(index_bytes), per_record(manifest.index_bytes),
                  static_cast<double>(peak_memory_bytes()) / (1 << 20));
    return text;
  }

  // All that `imgpack build` does: listing, labels, plan, shards, index, manifest.
  Work run() override {
    std::filesystem::remove_all(out_);
    const ingest::ThreadLimit limit(threads_);
    FileSystem& fs = posix_file_system();
    const uint64_t before = heap_bytes();
    const ingest::LabeledSource source = ingest::label_source(fs, ingest::scan_folder(fs, source_));
    {
      const ingest::PackPlan plan = ingest::make_plan(source, options_.pack);
      plan_bytes_ = heap_bytes() - before;
    }
    const auto reader = ingest::make_folder_reader(fs, source.scan.root);
    SilentObserver observer;
    ingest::build(fs, source, *reader, out_, options_, observer, imgpack::cli::stop_flag());
    return {kImageNetRecords, source.scan.splits[0].bytes};
  }

 private:
  const uint32_t threads_;
  const std::filesystem::path source_, out_;
  ingest::BuildOptions options_;
  uint64_t plan_bytes_ = 0;
};

}  // namespace

WorkloadEntry pack_million_workload() {
  return {"pack-million",
          "Pack 1,281,167 tiny images from a folder of hard links that it makes",
          "images",
          Needs::kNothing,
          [](const BenchSettings& settings) { return std::make_unique<MillionWorkload>(settings); },
          true};
}

}  // namespace imgbench
