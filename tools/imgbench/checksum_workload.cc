// Verification at level checksums, every byte read back: of the dataset given, or of 256 MiB of synthetic records.
#include "format/error.h"
#include "format/verify.h"
#include "tools/imgbench/synthetic_records.h"
#include "tools/imgbench/workloads.h"

namespace imgbench {
namespace {

using namespace imgpack;

constexpr uint64_t kRecords = 2400;  // About 256 MiB.

class ChecksumWorkload : public Workload {
 public:
  explicit ChecksumWorkload(const BenchSettings& settings) : folder_(settings.shards), threads_(settings.threads) {
    if (folder_.empty()) {
      folder_ = settings.temporary / "checksum";
      publish_random_dataset(posix_file_system(), folder_, random_records(kRecords));
    }
  }

  std::string check() override {
    const Work work = run();
    uint64_t bytes = 0;
    for (const SplitInfo& split : read_manifest(posix_file_system(), folder_).splits)
      for (const ShardSummary& shard : split.shards) bytes += shard.bytes;
    if (work.bytes != bytes)
      throw Error(ErrorKind::kInternal,
                  "checksum: expected " + std::to_string(bytes) + " bytes, found " + std::to_string(work.bytes));
    return "no damage, every byte of every shard read";
  }

  Work run() override {
    VerifyOptions options;
    options.level = VerifyLevel::kChecksums;
    options.threads = threads_;
    const VerifyReport report = verify_dataset(posix_file_system(), folder_, options);
    if (!report.ok()) throw Error(ErrorKind::kCorruption, to_text(report.damages.front()), folder_);
    return {report.records, report.bytes};
  }

  std::vector<std::filesystem::path> files() const override {
    std::vector<std::filesystem::path> paths;
    for (const SplitInfo& split : read_manifest(posix_file_system(), folder_).splits)
      for (const ShardSummary& shard : split.shards) paths.push_back(folder_ / shard.file);
    return paths;
  }

 private:
  std::filesystem::path folder_;
  const uint32_t threads_;
};

}  // namespace

WorkloadEntry checksum_workload() {
  return {"checksum", "Verify every checksum of a dataset (synthetic without --shards)", "records", Needs::kNothing,
          [](const BenchSettings& settings) { return std::make_unique<ChecksumWorkload>(settings); }};
}

}  // namespace imgbench
