// The packer's side: listing a source, and packing it in the ways that differ in what they cost.
#include "format/dataset.h"
#include "format/error.h"
#include "format/ingest/builder.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/thread_limit.h"
#include "tools/cli/stop_signals.h"
#include "tools/imgbench/silent_observer.h"
#include "tools/imgbench/unsynced_file_system.h"
#include "tools/imgbench/workloads.h"

namespace imgbench {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
namespace ingest = imgpack::ingest;

uint64_t images_of(const ingest::SourceScan& scan) {
  uint64_t images = 0;
  for (const ingest::SourceSplit& split : scan.splits) images += split.images.size();
  return images;
}

uint64_t bytes_of(const ingest::SourceScan& scan) {
  uint64_t bytes = 0;
  for (const ingest::SourceSplit& split : scan.splits) bytes += split.bytes;
  return bytes;
}

class ScanWorkload : public Workload {
 public:
  explicit ScanWorkload(const BenchSettings& settings) : source_(settings.source) {}

  std::string check() override {
    const auto scan = ingest::scan_folder(imgpack::posix_file_system(), source_);
    uint64_t files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(scan.root)) files += entry.is_regular_file();
    if (images_of(scan) == 0 || images_of(scan) > files)
      throw Error(ErrorKind::kInternal,
                  "scan: expected 1 to " + std::to_string(files) + " images, found " + std::to_string(images_of(scan)));
    return std::to_string(images_of(scan)) + " images among " + std::to_string(files) + " files";
  }

  Work run() override { return {images_of(ingest::scan_folder(imgpack::posix_file_system(), source_)), 0}; }

 private:
  const std::filesystem::path source_;
};

// What one pack workload does differently from the others.
struct PackKind {
  std::string name;
  ingest::NormaliseOptions normalise = {};
  bool sync = true;
};

class PackWorkload : public Workload {
 public:
  PackWorkload(const BenchSettings& settings, const PackKind& kind)
      : threads_(settings.threads),
        fs_(kind.sync ? imgpack::posix_file_system() : unsynced_),
        source_(ingest::label_source(imgpack::posix_file_system(),
                                     ingest::scan_folder(imgpack::posix_file_system(), settings.source))),
        reader_(ingest::make_folder_reader(imgpack::posix_file_system(), source_.scan.root)),
        out_(settings.temporary / (kind.name + ".shards")) {
    options_.created_by = "imgbench";
    options_.pack.normalise = kind.normalise;
  }

  std::string check() override {
    run();
    const auto dataset = imgpack::Dataset::open(imgpack::posix_file_system(), out_);
    uint64_t records = dataset.manifest().skipped.size();
    for (const auto& split : dataset.manifest().splits) records += split.records;
    if (records != images_of(source_.scan))
      throw Error(ErrorKind::kInternal, "pack: expected " + std::to_string(images_of(source_.scan)) +
                                            " images packed or skipped, found " + std::to_string(records));
    return std::to_string(records) + " images packed, dataset " + dataset.manifest().dataset_id;
  }

  Work run() override {
    std::filesystem::remove_all(out_);
    const ingest::ThreadLimit limit(threads_);
    SilentObserver observer;
    ingest::build(fs_, source_, *reader_, out_, options_, observer, imgpack::cli::stop_flag());
    return {images_of(source_.scan), bytes_of(source_.scan)};
  }

  std::vector<std::filesystem::path> files() const override {
    std::vector<std::filesystem::path> paths;
    for (const ingest::SourceSplit& split : source_.scan.splits) {
      for (const ingest::SourceImage& image : split.images)
        paths.push_back(source_.scan.root / split.folder / image.path);
    }
    return paths;
  }

 private:
  const uint32_t threads_;
  UnsyncedFileSystem unsynced_;
  imgpack::FileSystem& fs_;
  const ingest::LabeledSource source_;
  const std::unique_ptr<ingest::ImageReader> reader_;
  const std::filesystem::path out_;
  ingest::BuildOptions options_;
};

WorkloadEntry pack_entry(const PackKind& kind, const std::string& summary) {
  return {kind.name, summary, "images", Needs::kSource,
          [kind](const BenchSettings& settings) { return std::make_unique<PackWorkload>(settings, kind); }};
}

// Nothing is read of an image but its markers.
ingest::NormaliseOptions as_they_are() {
  ingest::NormaliseOptions options;
  options.check = ingest::StreamCheck::kHeader;
  options.entropy_index_mcus = ingest::kNoEntropyIndex;
  return options;
}

}  // namespace

WorkloadEntry scan_workload() {
  return {"scan", "Listing a folder of raw images", "images", Needs::kSource,
          [](const BenchSettings& settings) { return std::make_unique<ScanWorkload>(settings); }};
}

WorkloadEntry pack_workload() {
  return pack_entry({"pack"}, "A folder of raw images into shards, written to the temporary folder");
}

WorkloadEntry pack_header_workload() {
  return pack_entry({"pack-header", as_they_are()}, "The same with --entropy-index none --check header");
}

WorkloadEntry pack_header_unsynced_workload() {
  return pack_entry({"pack-header-unsynced", as_they_are(), false}, "The same without waiting for the disk");
}

WorkloadEntry pack_resize_workload() {
  ingest::NormaliseOptions resized;
  resized.resize_max = 500;
  return pack_entry({"pack-resize", resized}, "A folder of raw images into shards with --resize-max 500");
}

}  // namespace imgbench
