// How long training takes to get its first batch from a dataset of ImageNet's size: opening it, planning, reading and
// decoding, from the start of an epoch and from places within it.
#include <cmath>
#include <cstdio>

#include "engine/data/batch_pipeline.h"
#include "format/dataset.h"
#include "format/error.h"
#include "format/ingest/jpeg_writer.h"
#include "format/ingest/pixel_image.h"
#include "tools/imgbench/synthetic_records.h"
#include "tools/imgbench/synthetic_shards.h"
#include "tools/imgbench/workloads.h"

namespace imgbench {
namespace {

using imgpack::Dataset;
using imgpack::Error;
using imgpack::ErrorKind;
using imgtrain::data::BatchPipeline;

constexpr uint32_t kSide = 256;

std::vector<std::byte> picture() {
  imgpack::ingest::PixelImage image = imgpack::ingest::make_pixel_image(kSide, kSide, 3);
  for (size_t i = 0; i < image.row_bytes() * kSide; ++i) image.data[i] = static_cast<uint8_t>(i / 7 + i / (3 * kSide));
  return imgpack::ingest::encode_jpeg(image, 90, imgpack::ingest::Subsampling::k420);
}

class FirstBatchWorkload : public Workload {
 public:
  explicit FirstBatchWorkload(const BenchSettings& settings)
      : folder_(settings.temporary / "first-batch"),
        shards_(imgpack::posix_file_system(), folder_, picture(), kSide, kSide) {
    options_.threads = settings.threads;
    options_.size = settings.size;
    options_.order.batch = settings.batch;
    shards_.publish(kImageNetRecords);
  }

  // A start within the epoch reads no more than one at its beginning: nothing is gone through again.
  std::string check() override {
    const Start begin = start(0), middle = start(0.5), late = start(0.99);
    const uint64_t most = std::max(middle.bytes_read, late.bytes_read);
    if (most > 3 * begin.bytes_read)
      throw Error(ErrorKind::kInternal, "a start within the epoch reads " + std::to_string(most) +
                                            " bytes, one at its beginning " + std::to_string(begin.bytes_read));
    char text[128];
    std::snprintf(text, sizeof text, "1,281,167 records; MiB read from 0, 50 and 99 %% of the epoch: %.0f, %.0f, %.0f",
                  begin.mib(), middle.mib(), late.mib());
    return text;
  }

  Work run() override {
    const Start done = start(std::fmod(0.37 * static_cast<double>(turn_++), 1.0));
    return {1, done.bytes_read};
  }

 private:
  struct Start {
    uint64_t bytes_read = 0;
    double mib() const { return static_cast<double>(bytes_read) / (1 << 20); }
  };

  Start start(double place) {
    const Dataset dataset = Dataset::open(shards_, folder_);
    BatchPipeline pipeline(shards_, dataset, options_);
    pipeline.start_epoch(1, static_cast<uint64_t>(place * static_cast<double>(pipeline.batches_per_epoch())));
    const auto batch = pipeline.next();
    if (!batch.has_value() || batch->count != options_.order.batch)
      throw Error(ErrorKind::kInternal, "first-batch: the first batch is not whole");
    return {pipeline.stage_seconds().bytes_read};
  }

  const std::filesystem::path folder_;
  SyntheticShards shards_;
  imgtrain::data::PipelineOptions options_;
  uint64_t turn_ = 0;
};

}  // namespace

WorkloadEntry first_batch_workload() {
  return {"first-batch", "Open 1,281,167 synthetic records and deliver one batch, from anywhere in the epoch", "starts",
          Needs::kNothing,
          [](const BenchSettings& settings) { return std::make_unique<FirstBatchWorkload>(settings); }};
}

}  // namespace imgbench
