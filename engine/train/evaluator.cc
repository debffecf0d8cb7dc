#include "engine/train/evaluator.h"

#include <chrono>

#include "engine/train/amp.h"
#include "engine/train/compute_device.h"
#include "engine/train/loss.h"
#include "engine/train/request_agreement.h"
#include "engine/train/run/input_options.h"
#include "engine/train/run/input_watch.h"
#include "format/error.h"

namespace imgtrain {

using imgpack::Error;
using imgpack::ErrorKind;

torch::Tensor evaluation_logits(ResNet& model, torch::Tensor images, torch::Device device, const RunConfig& config) {
  if (config.precision == Precision::kFp64) images = images.to(torch::kDouble);
  const Autocast scope(device.type(), config.precision);
  const torch::Tensor logits = model->forward(images);
  if (!config.eval_flip) return logits;
  const torch::Tensor mirrored = images.flip({3}).contiguous(at::MemoryFormat::ChannelsLast);
  return (logits + model->forward(mirrored)) / 2;
}

Evaluator::Looking::Looking(imgpack::FileSystem& fs, const imgpack::Dataset& dataset,
                            const data::PipelineOptions& options, data::SlotAllocator& slots, torch::Device device)
    : pipeline(fs, dataset, options, slots), feed(pipeline, device), normalizer(device) {}

Evaluator::Evaluator(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const std::string& split,
                     const RunConfig& config, torch::Device device, GradientSync& sync)
    : fs_(fs),
      dataset_(dataset),
      split_(split),
      config_(config),
      device_(device),
      sync_(sync),
      view_(require_labeled(dataset, split)),
      images_(view_.records()),
      slots_(slot_memory(device)),
      own_(look({config.eval_size, config.eval_resize})) {}

std::unique_ptr<Evaluator::Looking> Evaluator::look(const EvaluationView& view) {
  RunConfig config = config_;
  config.eval_size = view.size;
  config.eval_resize = view.resize;
  return std::make_unique<Looking>(fs_, dataset_, evaluation_input(config, split_, input_share(sync_, device_)),
                                   *slots_, device_);
}

std::optional<Totals> Evaluator::run(ResNet& model, RunListener& listener) {
  const auto results = run(model, listener, {{config_.eval_size, config_.eval_resize}}, nullptr);
  if (!results) return std::nullopt;
  return results->front().totals;
}

std::optional<std::vector<ViewResult>> Evaluator::run(ResNet& model, RunListener& listener,
                                                      const std::vector<EvaluationView>& views, const RealLabels* real,
                                                      std::vector<Prediction>* predictions) {
  const torch::NoGradGuard no_grad;
  const auto start = std::chrono::steady_clock::now();
  const int64_t classes = model->options().num_classes;
  model->eval();
  struct Pass {
    Looking* looking = nullptr;
    std::unique_ptr<Looking> made;
    DeviceTotals totals;
    DetailCounts detail;
    uint64_t left_out = 0;  // Damaged records.
  };
  std::vector<Pass> passes;
  for (const EvaluationView& view : views) {
    std::unique_ptr<Looking> made;
    if (view.size != config_.eval_size || view.resize != config_.eval_resize) made = look(view);
    Looking* looking = made ? made.get() : own_.get();
    passes.push_back({looking, std::move(made), DeviceTotals(device_), DetailCounts(classes, real, device_), 0});
    looking->feed.start_epoch(0);
  }
  listener.begin_pass({split_, images_, 0, static_cast<double>(config_.log_seconds)});
  RequestAgreement agreement(listener, sync_, device_);
  Looking& first = *passes.front().looking;
  InputWatch watch(first.pipeline, view_, listener);
  const double copied_before = first.feed.copy_seconds();
  const uint64_t batches = own_->pipeline.batches_per_epoch();
  bool stopped = false;
  for (uint64_t i = 0; i < batches && !stopped; ++i) {
    uint64_t images = 0;
    for (Pass& pass : passes) {
      const auto batch = [&] {
        const InputWait waiting(sync_, pass.looking->pipeline);
        return pass.looking->feed.next();
      }();
      if (!batch) throw Error(ErrorKind::kInternal, "the evaluation ended before its last batch");
      images = static_cast<uint64_t>(batch->global_count);
      if (batch->count > 0) {
        const torch::Tensor logits =
            evaluation_logits(model, pass.looking->normalizer(batch->images), device_, config_);
        pass.totals.add(logits, batch->labels, cross_entropy_sum(logits, batch->labels, 0));
        pass.detail.add(logits, batch->labels, batch->ids);
        if (predictions != nullptr && pass.looking == &first)
          append_predictions(logits, batch->labels, batch->ids, *predictions);
      }
      {
        const InputWait waiting(sync_, pass.looking->pipeline);
        pass.looking->feed.prefetch();
      }
      pass.left_out += batch->left_out.size();
      if (pass.looking == &first) watch.count(static_cast<uint64_t>(batch->count), batch->left_out);
    }
    watch.answer(split_, first.feed.copy_seconds() - copied_before);
    listener.advance(images);
    stopped = agreement.agree() == RunRequest::kStop;
  }
  listener.end_pass();
  watch.say_notes();
  if (stopped) return std::nullopt;
  std::vector<ViewResult> results;
  for (size_t i = 0; i < passes.size(); ++i) {
    sync_.all_reduce_sum(passes[i].totals.sums());
    sync_.all_reduce_sum(passes[i].detail.sums());
    ViewResult result{views[i], passes[i].totals.read(), passes[i].detail.classes(), passes[i].detail.real()};
    result.totals.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    torch::Tensor left_out =
        torch::full({1}, static_cast<double>(passes[i].left_out), torch::dtype(torch::kDouble).device(device_));
    if (config_.max_bad_records > 0) sync_.all_reduce_sum(left_out);
    if (result.totals.samples + static_cast<uint64_t>(left_out.item<double>()) != images_) {
      throw Error(ErrorKind::kInternal, "evaluation of split '" + split_ + "': expected " + std::to_string(images_) +
                                            " samples, counted " + std::to_string(result.totals.samples));
    }
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace imgtrain
