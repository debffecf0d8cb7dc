// ShardWriter alone: records that are in memory into a shard on the disk of the temporary folder, published with and
// without waiting for the disk.
#include "format/checksum.h"
#include "format/error.h"
#include "format/shard_reader.h"
#include "format/shard_writer.h"
#include "tools/imgbench/synthetic_records.h"
#include "tools/imgbench/unsynced_file_system.h"
#include "tools/imgbench/workloads.h"

namespace imgbench {
namespace {

using namespace imgpack;

constexpr uint64_t kRecords = 2400;  // About 256 MiB.

class WriteWorkload : public Workload {
 public:
  WriteWorkload(const BenchSettings& settings, bool sync)
      : fs_(sync ? posix_file_system() : unsynced_),
        path_(settings.temporary / (sync ? "write.ipk" : "write-unsynced.ipk")),
        records_(random_records(kRecords)) {}

  std::string check() override {
    run();
    const ShardReader reader(fs_, path_);
    std::vector<std::byte> buffer;
    for (uint64_t i = 0; i < reader.records(); ++i) {
      const RecordView record = reader.read(i, buffer);
      if (record.meta.name != records_[i].meta.name ||
          checksum(record.image()) != checksum(records_[i].sections[0].bytes))
        throw Error(ErrorKind::kInternal, "write: record " + std::to_string(i) + " differs from what was written");
    }
    if (reader.records() != records_.size()) throw Error(ErrorKind::kInternal, "write: records are missing");
    return "every record read back";
  }

  Work run() override {
    ShardWriter writer(fs_, path_, {"train", 0, 1, 0, 0});
    for (const Record& record : records_) writer.append(record);
    const ShardSummary shard = writer.finish();
    return {shard.records, shard.bytes};
  }

 private:
  UnsyncedFileSystem unsynced_;
  FileSystem& fs_;
  const std::filesystem::path path_;
  const std::vector<Record> records_;
};

}  // namespace

WorkloadEntry write_workload() {
  return {"write", "Write a shard of records in memory, synced", "records", Needs::kNothing,
          [](const BenchSettings& settings) { return std::make_unique<WriteWorkload>(settings, true); }};
}

WorkloadEntry write_unsynced_workload() {
  return {"write-unsynced", "The same without waiting for the disk", "records", Needs::kNothing,
          [](const BenchSettings& settings) { return std::make_unique<WriteWorkload>(settings, false); }};
}

}  // namespace imgbench
