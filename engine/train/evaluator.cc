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

Evaluator::Evaluator(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const std::string& split,
                     const RunConfig& config, torch::Device device, GradientSync& sync)
    : split_(split),
      config_(config),
      device_(device),
      sync_(sync),
      view_(require_labeled(dataset, split)),
      images_(view_.records()),
      slots_(slot_memory(device)),
      pipeline_(fs, dataset, evaluation_input(config, split, input_share(sync, device)), *slots_),
      feed_(pipeline_, device),
      normalizer_(device) {}

std::optional<Totals> Evaluator::run(ResNet& model, RunListener& listener) {
  const torch::NoGradGuard no_grad;
  const auto start = std::chrono::steady_clock::now();
  model->eval();
  DeviceTotals totals(device_);
  listener.begin_pass({split_, images_, 0, static_cast<double>(config_.log_seconds)});
  feed_.start_epoch(0);
  watch_.emplace(pipeline_, view_, listener);
  RequestAgreement agreement(listener, sync_, device_);
  bool stopped = false;
  while (const auto batch = feed_.next()) {
    if (batch->count > 0) {
      torch::Tensor logits;
      {
        const Autocast scope(device_.type(), config_.precision);
        logits = model->forward(normalizer_(batch->images));
      }
      totals.add(logits, batch->labels, cross_entropy_sum(logits, batch->labels, 0));
    }
    feed_.prefetch();
    watch_->count(static_cast<uint64_t>(batch->count), batch->left_out);
    watch_->answer(split_, feed_.copy_seconds());
    listener.advance(static_cast<uint64_t>(batch->global_count));
    if ((stopped = agreement.agree() == RunRequest::kStop)) break;
  }
  listener.end_pass();
  watch_->say_notes();
  if (stopped) return std::nullopt;
  sync_.all_reduce_sum(totals.sums());
  Totals result = totals.read();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  torch::Tensor left_out =
      torch::full({1}, static_cast<double>(watch_->take_left_out()), torch::dtype(torch::kDouble).device(device_));
  if (config_.max_bad_records > 0) sync_.all_reduce_sum(left_out);
  const auto left_out_images = static_cast<uint64_t>(left_out.item<double>());
  if (result.samples + left_out_images != images_) {
    throw Error(ErrorKind::kInternal, "evaluation of split '" + split_ + "': expected " + std::to_string(images_) +
                                          " samples, counted " + std::to_string(result.samples));
  }
  return result;
}

}  // namespace imgtrain
