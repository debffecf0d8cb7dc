#include "engine/train/evaluator.h"

#include <chrono>

#include "engine/train/amp.h"
#include "engine/train/compute_device.h"
#include "engine/train/loss.h"
#include "engine/train/request_agreement.h"
#include "engine/train/run/input_options.h"
#include "format/error.h"

namespace imgtrain {

using imgpack::Error;
using imgpack::ErrorKind;

namespace {

// With eval_flip the mean over an image and its mirror image.
torch::Tensor logits_of(ResNet& model, torch::Tensor images, torch::Device device, const RunConfig& config) {
  if (config.precision == Precision::kFp64) images = images.to(torch::kDouble);
  const Autocast scope(device.type(), config.precision);
  const torch::Tensor logits = model->forward(images);
  if (!config.eval_flip) return logits;
  const torch::Tensor mirrored = images.flip({3}).contiguous(at::MemoryFormat::ChannelsLast);
  return (logits + model->forward(mirrored)) / 2;
}

}  // namespace

Evaluator::Evaluator(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const std::string& split,
                     const RunConfig& config, torch::Device device, GradientSync& sync)
    : split_(split),
      config_(config),
      device_(device),
      sync_(sync),
      images_(require_labeled(dataset, split).records()),
      slots_(slot_memory(device)),
      pipeline_(fs, dataset, evaluation_input(config, split, {sync.rank(), sync.world()}), *slots_),
      feed_(pipeline_, device),
      normalizer_(device) {}

std::optional<Totals> Evaluator::run(ResNet& model, RunListener& listener) {
  const torch::NoGradGuard no_grad;
  const auto start = std::chrono::steady_clock::now();
  model->eval();
  DeviceTotals totals(device_);
  listener.begin_pass({split_, images_, 0, static_cast<double>(config_.log_seconds)});
  feed_.start_epoch(0);
  RequestAgreement agreement(listener, sync_, device_);
  bool stopped = false;
  while (const auto batch = feed_.next()) {
    if (batch->count > 0) {
      const torch::Tensor logits = logits_of(model, normalizer_(batch->images), device_, config_);
      totals.add(logits, batch->labels, cross_entropy_sum(logits, batch->labels, 0));
    }
    feed_.prefetch();
    listener.advance(static_cast<uint64_t>(batch->global_count));
    if ((stopped = agreement.agree() == RunRequest::kStop)) break;
  }
  listener.end_pass();
  if (stopped) return std::nullopt;
  sync_.all_reduce_sum(totals.sums());
  Totals result = totals.read();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (result.samples != images_) {
    throw Error(ErrorKind::kInternal, "evaluation of split '" + split_ + "': expected " + std::to_string(images_) +
                                          " samples, counted " + std::to_string(result.samples));
  }
  return result;
}

}  // namespace imgtrain
