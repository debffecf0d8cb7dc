#include "tools/python/native/pipeline.h"

#include <nanobind/nanobind.h>

#include <chrono>
#include <utility>

#include "format/error.h"

namespace imgpack::python {
namespace {

namespace nb = nanobind;
using imgtrain::data::Batch;
using imgtrain::data::BatchPipeline;
using imgtrain::data::PipelineOptions;

// How long Ctrl-C may wait for an answer.
constexpr std::chrono::milliseconds kPatience{50};

[[noreturn]] void throw_closed() {
  throw Error(ErrorKind::kUsage, "this loader is closed");
}

}  // namespace

Pipeline::Pipeline(std::shared_ptr<OpenDataset> dataset, const PipelineOptions& options)
    : dataset_(std::move(dataset)), slots_(options.slots), held_(std::make_shared<SlotCount>(0)) {
  claim_threads();
  const nb::gil_scoped_release others_run;
  pipeline_ = std::make_unique<BatchPipeline>(posix_file_system(), dataset_->dataset(), options);
  batches_per_epoch_ = pipeline_->batches_per_epoch();
  samples_per_epoch_ = pipeline_->samples_per_epoch();
  threads_ = pipeline_->threads();
}

Pipeline::~Pipeline() {
  // A child must neither wait for threads that it does not have nor free what they would still use.
  if (process_.inherited())
    static_cast<void>(pipeline_.release());
  else
    close();
}

Pipeline::Use Pipeline::use() {
  std::unique_lock lock(mutex_);
  if (closing_ || pipeline_ == nullptr) throw_closed();
  return {std::move(lock), *pipeline_};
}

void Pipeline::start_epoch(uint64_t epoch, uint64_t first_batch, uint32_t size, uint64_t digest) {
  process_.check();
  const nb::gil_scoped_release others_run;
  use().pipeline.start_epoch(epoch, first_batch, {.size = size, .digest = digest});
}

std::optional<DeliveredBatch> Pipeline::next() {
  process_.check();
  for (;;) {
    {
      const nb::gil_scoped_release others_run;
      const Use used = use();
      if (used.pipeline.wait_for_next(kPatience)) {
        std::optional<Batch> batch = used.pipeline.next();
        if (!batch.has_value()) return std::nullopt;
        return deliver(std::move(*batch), used.pipeline.order_digest());
      }
    }
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
  }
}

DeliveredBatch Pipeline::deliver(Batch batch, uint64_t digest) {
  DeliveredBatch out;
  out.labels.assign(batch.labels, batch.labels + batch.count);
  out.ids.assign(batch.ids, batch.ids + batch.count);
  out.blanks.assign(batch.blanks, batch.blanks + batch.count);
  out.first = batch.first;
  out.count = batch.count;
  out.global_count = batch.global_count;
  out.size = batch.size;
  out.epoch = batch.epoch;
  out.index = batch.index;
  out.order_digest = digest;
  out.left_out = batch.left_out;
  // One slot always stays with the pipeline, or it could not go on.
  out.copied = *held_ + 1 >= slots_;
  if (out.copied) ++batches_copied_;
  out.memory = out.copied ? BatchMemory::copy(batch) : BatchMemory::keep(std::move(batch), held_);
  return out;
}

void Pipeline::close() {
  if (process_.inherited() || closing_.exchange(true)) return;
  const nb::gil_scoped_release others_run;
  const std::lock_guard lock(mutex_);
  pipeline_.reset();
}

imgtrain::data::StageSeconds Pipeline::stage_seconds() {
  process_.check();
  const nb::gil_scoped_release others_run;
  return use().pipeline.stage_seconds();
}

std::string Pipeline::reading() {
  process_.check();
  const nb::gil_scoped_release others_run;
  return use().pipeline.reading();
}

std::vector<std::string> Pipeline::take_notes() {
  process_.check();
  const nb::gil_scoped_release others_run;
  return use().pipeline.take_notes();
}

}  // namespace imgpack::python
