// The packer's side: listing a source, and packing it.
#include "format/dataset.h"
#include "format/error.h"
#include "format/ingest/builder.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/thread_limit.h"
#include "tools/cli/stop_signals.h"
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

class SilentObserver : public ingest::BuildObserver {
 public:
  void on_note(const std::string&) override {}
  void on_skip(const imgpack::SkippedSource&) override {}
  void on_start(uint64_t, uint64_t) override {}
  void on_packed(uint64_t, uint64_t) override {}
};

class PackWorkload : public Workload {
 public:
  explicit PackWorkload(const BenchSettings& settings)
      : threads_(settings.threads),
        source_(ingest::label_source(imgpack::posix_file_system(),
                                     ingest::scan_folder(imgpack::posix_file_system(), settings.source))),
        reader_(ingest::make_folder_reader(imgpack::posix_file_system(), source_.scan.root)),
        out_(settings.temporary / "packed.shards") {
    options_.created_by = "imgbench";
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
    ingest::build(imgpack::posix_file_system(), source_, *reader_, out_, options_, observer, imgpack::cli::stop_flag());
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
  const ingest::LabeledSource source_;
  const std::unique_ptr<ingest::ImageReader> reader_;
  const std::filesystem::path out_;
  ingest::BuildOptions options_;
};

}  // namespace

WorkloadEntry scan_workload() {
  return {"scan", "Listing a folder of raw images", "images", Needs::kSource,
          [](const BenchSettings& settings) { return std::make_unique<ScanWorkload>(settings); }};
}

WorkloadEntry pack_workload() {
  return {"pack", "A folder of raw images into shards, written to the temporary folder", "images", Needs::kSource,
          [](const BenchSettings& settings) { return std::make_unique<PackWorkload>(settings); }};
}

}  // namespace imgbench
