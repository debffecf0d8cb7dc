// Opening a dataset of ImageNet's size: manifest and dataset index of 1,281,167 synthetic records, with and without
// names. The check also says how many bytes a record takes in each index.
#include <cstdio>

#include "format/dataset.h"
#include "format/error.h"
#include "format/index_codec.h"
#include "tools/imgbench/synthetic_records.h"
#include "tools/imgbench/workloads.h"

namespace imgbench {
namespace {

using namespace imgpack;

class IndexWorkload : public Workload {
 public:
  IndexWorkload(const BenchSettings& settings, ReadNames names)
      : folder_(settings.temporary / (names == ReadNames::kYes ? "index-names" : "index")),
        names_(names),
        columns_(imagenet_like_columns(kImageNetRecords)) {
    posix_file_system().make_directories(folder_);
    manifest_ = publish_without_shards(posix_file_system(), folder_, columns_);
  }

  std::string check() override {
    const Dataset dataset = Dataset::open(posix_file_system(), folder_, names_);
    const SplitView& view = dataset.split("train");
    uint64_t row = 0, shard_index_bytes = 0;
    for (const IndexColumns& shard : columns_.shards) {
      shard_index_bytes += encode_index_block(shard).size();
      for (size_t i = 0; i < shard.size(); ++i, ++row) {
        if (view.columns.id[row] != shard.id[i] || view.columns.label[row] != shard.label[i] ||
            view.columns.record_bytes[row] != shard.record_bytes[i] || view.columns.width[row] != shard.width[i] ||
            (names_ == ReadNames::kYes && view.columns.names[row] != shard.names[i]))
          throw Error(ErrorKind::kInternal, "index: row " + std::to_string(row) + " differs from what was written");
      }
    }
    if (row != view.records()) throw Error(ErrorKind::kInternal, "index: rows are missing");
    const auto records = static_cast<double>(row);
    char text[200];
    std::snprintf(
        text, sizeof text,
        "every row; %zu shards; bytes per record: shard index %.2f, dataset index %.2f, of it without names %.2f",
        columns_.shards.size(), static_cast<double>(shard_index_bytes) / records,
        static_cast<double>(manifest_.index_bytes) / records,
        static_cast<double>(manifest_.index_plan_bytes) / records);
    return text;
  }

  Work run() override {
    const Dataset dataset = Dataset::open(posix_file_system(), folder_, names_);
    return {dataset.split("train").records(),
            names_ == ReadNames::kYes ? manifest_.index_bytes : manifest_.index_plan_bytes};
  }

  std::vector<std::filesystem::path> files() const override {
    return {folder_ / kManifestFile, folder_ / manifest_.index_file};
  }

 private:
  const std::filesystem::path folder_;
  const ReadNames names_;
  const SplitColumns columns_;
  Manifest manifest_;
};

}  // namespace

WorkloadEntry index_workload() {
  return {"index", "Open a dataset of 1,281,167 synthetic records", "records", Needs::kNothing,
          [](const BenchSettings& settings) { return std::make_unique<IndexWorkload>(settings, ReadNames::kNo); }};
}

WorkloadEntry index_names_workload() {
  return {"index-names", "The same with names", "records", Needs::kNothing,
          [](const BenchSettings& settings) { return std::make_unique<IndexWorkload>(settings, ReadNames::kYes); }};
}

}  // namespace imgbench
