// The whole input engine, from shards to batches, as the trainer and the evaluator use it.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/data/batch_pipeline.h"
#include "format/dataset.h"
#include "format/error.h"
#include "tools/imgbench/workloads.h"

namespace imgbench {
namespace {

using imgpack::Dataset;
using imgpack::Error;
using imgpack::ErrorKind;
using imgtrain::data::Batch;
using imgtrain::data::BatchPipeline;
using imgtrain::data::PipelineOptions;
using imgtrain::data::Transform;

constexpr double kMaxMeanDifference = 1.0;  // Of the fast decoder's pixels to the reference's, in the first batch.

class PipelineWorkload : public Workload {
 public:
  PipelineWorkload(const BenchSettings& settings, Transform transform)
      : dataset_(Dataset::open(imgpack::posix_file_system(), settings.shards)), images_(settings.images) {
    options_.split = settings.split;
    options_.transform = transform;
    options_.size = settings.size;
    options_.resize_short = std::max(settings.size, settings.size * 8 / 7);
    options_.threads = settings.threads;
    options_.order.batch = settings.batch;
    options_.reference_decoder = settings.reference_decoder;
    pipeline_ = std::make_unique<BatchPipeline>(imgpack::posix_file_system(), dataset_, options_);
    if (pipeline_->batches_per_epoch() == 0)
      throw Error(ErrorKind::kInvalidInput, "split " + settings.split + " has no records", settings.shards);
  }

  // The first batch must be the same for another number of threads, and nearly the same from the reference decoder.
  std::string check() override {
    PipelineOptions other = options_;
    other.threads = options_.threads == 1 ? 2 : 1;
    PipelineOptions reference = options_;
    reference.reference_decoder = true;
    const std::vector<uint8_t> ours = first_batch(options_), same = first_batch(other), exact = first_batch(reference);
    if (ours != same) throw Error(ErrorKind::kInternal, "pixels depend on the number of threads");
    if (exact.size() != ours.size()) throw Error(ErrorKind::kInternal, "batch sizes depend on the decoder");
    double difference = 0;
    for (size_t i = 0; i < ours.size(); ++i) difference += std::abs(int{ours[i]} - int{exact[i]});
    difference /= static_cast<double>(std::max<size_t>(1, ours.size()));
    if (difference > kMaxMeanDifference)
      throw Error(ErrorKind::kInternal, "pixels differ from the reference decoder's: expected a mean of at most " +
                                            std::to_string(kMaxMeanDifference) + ", found " +
                                            std::to_string(difference));
    run();
    char text[128];
    std::snprintf(text, sizeof text, "same pixels for 1 and %u threads, mean difference to reference %.2f",
                  std::max(2u, options_.threads), difference);
    return text;
  }

  // Goes on where the last run stopped, from epoch to epoch, as training does.
  Work run() override {
    Work work;
    while (work.items < images_) {
      std::optional<Batch> batch = started_ ? pipeline_->next() : std::nullopt;
      if (!batch.has_value()) {
        pipeline_->start_epoch(epoch_++);
        started_ = true;
        continue;
      }
      work.items += batch->count;
      work.bytes += uint64_t{batch->count} * batch->size * batch->size * 3;
    }
    return work;
  }

  std::vector<std::filesystem::path> files() const override {
    std::vector<std::filesystem::path> paths;
    const auto& info = dataset_.split(options_.split).info;
    for (uint32_t s = 0; s < info.shards.size(); ++s) paths.push_back(dataset_.shard_path(options_.split, s));
    return paths;
  }

 private:
  std::vector<uint8_t> first_batch(const PipelineOptions& options) const {
    BatchPipeline pipeline(imgpack::posix_file_system(), dataset_, options);
    pipeline.start_epoch(0);
    const std::optional<Batch> batch = pipeline.next();
    return {batch->images, batch->images + size_t{batch->count} * batch->size * batch->size * 3};
  }

  const Dataset dataset_;
  const uint64_t images_;
  PipelineOptions options_;
  std::unique_ptr<BatchPipeline> pipeline_;
  uint64_t epoch_ = 0;
  bool started_ = false;
};

}  // namespace

WorkloadEntry pipeline_workload() {
  return {
      "pipeline", "Shards to training batches: random resized crops and flips", "images", Needs::kShards,
      [](const BenchSettings& settings) { return std::make_unique<PipelineWorkload>(settings, Transform::kTrain); }};
}

WorkloadEntry eval_pipeline_workload() {
  return {
      "eval-pipeline", "Shards to evaluation batches: resize and centre crop", "images", Needs::kShards,
      [](const BenchSettings& settings) { return std::make_unique<PipelineWorkload>(settings, Transform::kEvaluate); }};
}

}  // namespace imgbench
