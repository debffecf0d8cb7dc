#include "engine/train/train_loop.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/data/batch_planner.h"
#include "engine/model/weights.h"
#include "engine/report/portable/run_charts.h"
#include "engine/train/checkpoint.h"
#include "engine/train/model_setup.h"
#include "engine/train/run/bottleneck.h"
#include "engine/train/run/input_options.h"
#include "engine/train/run/json_text.h"
#include "engine/train/run/loss_diagnosis.h"
#include "engine/train/run/order_proof.h"
#include "engine/train/step_trace.h"
#include "format/checksum.h"
#include "format/error.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
using imgpack::Error;
using imgpack::ErrorKind;
using Clock = std::chrono::steady_clock;

// How often progress fetches the loss from the device.
constexpr double kNoteSeconds = 1;
// Of this process: work of the first time is over by then.
constexpr uint64_t kTracedStep = 5;
constexpr const char* kWeightsName = "weights.safetensors";

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string accuracy_text(const MetricRow& row) {
  return "loss " + fixed_text(row.loss, 4) + "  top-1 " + fixed_text(row.accuracy, 2) + " %  top-5 " +
         fixed_text(row.accuracy_top5, 2) + " %";
}

}  // namespace

Trainer::Record::Record(const TrainGround& ground, TrainingStep& step, std::optional<WeightAverage>& average)
    : folder(*ground.folder),
      checkpoints(ground.fs, folder.checkpoints(), ground.config.keep_checkpoints,
                  {ground.config.keep_every, ground.config.keep_best}),
      writer(ground.fs, checkpoints, step.model(), step.optimizer(),
             average ? state_dict(*average->model()) : NamedTensors()),
      events(ground.fs, folder.path(), ground.config, ground.listener) {
  events.also_to(*ground.live);
}

Trainer::Trainer(const TrainGround& ground)
    : ground_(ground),
      listener_(ground.listener),
      config_(ground.config),
      train_split_(require_labeled(ground.dataset, config_.train_split)),
      input_(training_input(config_, input_share(ground.sync, ground.device))),
      order_(train_split_, input_.order),
      schedule_(config_, order_.batches_per_epoch()),
      sizes_(config_, schedule_.steps_per_epoch(), schedule_.total_steps()),
      ema_(config_, schedule_.steps_per_epoch(), schedule_.total_steps()),
      checkpoint_steps_(std::max<uint64_t>(1, config_.checkpoint_every.whole_batches(order_.batches_per_epoch()))),
      slots_(slot_memory(ground.device)),
      pipeline_(ground.fs, ground.dataset, input_, *slots_),
      feed_(pipeline_, ground.device),
      watch_(pipeline_, train_split_, listener_),
      step_(make_model(config_, static_cast<int64_t>(ground.dataset.manifest().classes.size()), ground.device), config_,
            ground.device, ground.sync),
      average_(config_.ema == AverageKind::kNone ? std::nullopt
                                                 : std::optional<WeightAverage>({step_.model(), ema_.decay()})),
      totals_(ground.device),
      agreement_(listener_, ground.sync, ground.device),
      record_(ground.folder ? std::make_unique<Record>(ground, step_, average_) : nullptr),
      times_(config_.step_times),
      bad_step_(torch::full({}, -1, torch::dtype(torch::kLong).device(ground.device))) {
  evaluator_.emplace(ground.fs, ground.dataset, config_.val_split, config_, ground.device, ground.sync);
}

TrainOutcome Trainer::run() {
  begin_or_resume();
  while (true) {
    if (state_.position.evaluation_due && !evaluate_epoch()) return stopped();
    if (state_.position.step == schedule_.total_steps()) return finish();
    if (!train_epoch()) return stopped();
    close_epoch();
  }
}
std::optional<DeviceBatch> Trainer::next_batch() {
  const InputWait waiting(ground_.sync, pipeline_);
  return feed_.next();
}

bool Trainer::train_epoch() {
  Position& at = state_.position;
  const uint64_t batches = steps_of_epoch(at.epoch);
  const auto images = [&](uint64_t n) { return std::min(n * order_.batch(), order_.samples_per_epoch()); };
  listener_.begin_pass(
      {epoch_title(at.epoch), images(batches), images(at.batch), static_cast<double>(config_.log_seconds)});
  epoch_start_ = last_note_ = last_step_ = Clock::now();
  input_before_ = {};
  feed_.start_epoch(at.epoch, at.batch, {sizes_.decoded(at.epoch), state_.epoch_digest});
  watch_.begin();
  copied_before_ = copied_in_epochs_before_ = feed_.copy_seconds();
  while (at.batch < batches) {
    ground_.sync.at_step(at.step);
    const std::optional<DeviceBatch> batch = next_batch();
    if (!batch) throw Error(ErrorKind::kInternal, "the epoch ended before its last batch");
    const StepRates rates = schedule_.at_step(at.step);
    std::optional<StepTrace> trace;
    if (record_ && !config_.trace.empty() && ++traceable_steps_ == kTracedStep) trace.emplace(ground_.device);
    StepPlan plan = {rates, at.step, sizes_.trained(at.step)};
    if (average_) plan.average = &*average_;
    plan.average_action = ema_.after(at.epoch, at.batch);
    step_.run(*batch, plan, totals_);
    if (trace) trace->save(ground_.fs, config_.trace);
    watch_loss();
    {
      const InputWait waiting(ground_.sync, pipeline_);
      feed_.prefetch();
    }
    note_times(at.step, *batch);
    ++at.batch;
    ++at.step;
    state_.epoch_digest = batch->order_digest;
    state_.samples_delivered += static_cast<uint64_t>(batch->global_count);
    watch_.count(static_cast<uint64_t>(batch->count), batch->left_out);
    watch_.answer(epoch_title(at.epoch), feed_.copy_seconds() - copied_in_epochs_before_);
    listener_.advance(static_cast<uint64_t>(batch->global_count));
    show_progress(rates.lr);
    if (at.batch == batches) break;
    const RunRequest request = agreement_.agree();
    if (request != RunRequest::kNone || at.step % checkpoint_steps_ == 0) save();
    if (request == RunRequest::kStop) {
      listener_.end_pass();
      return false;
    }
  }
  listener_.end_pass();
  return true;
}

void Trainer::close_epoch() {
  Position& at = state_.position;
  const double seconds_here = seconds_since(epoch_start_);
  add_left_out();
  ground_.sync.all_reduce_sum(totals_.sums());
  Totals totals = totals_.read();
  totals.seconds = seconds_before_ + seconds_here;
  require_finite(totals);
  const OrderProof proof = prove_order(train_split_, order_, at.epoch, at.batch);
  if (proof.digest != state_.epoch_digest || proof.samples != state_.samples_delivered)
    throw Error(ErrorKind::kInternal, "the epoch delivered other samples than its order says");
  state_.samples_repeated += proof.repeated;
  state_.samples_skipped += proof.skipped;
  state_.run_digest = data::chain_digest(state_.run_digest, state_.epoch_digest);
  add_row("train", totals);
  const MetricRow& row = state_.history.back();
  step_.clock().finish();
  collect_times();
  const double copied = feed_.copy_seconds() - copied_in_epochs_before_;
  const EpochTiming timing = watch_.timing(copied);
  const StageShares shares = stage_shares(timing);
  listener_.say(epoch_title(at.epoch) + "  train  " + accuracy_text(row) + "  lr " + fixed_text(row.learning_rate, 6) +
                "  " + fixed_text(row.epoch_time, 1) + " s");
  watch_.report(epoch_title(at.epoch), copied);
  event("epoch", {{"stage", row.stage},
                  {"epoch", row.epoch},
                  {"step", at.step},
                  {"loss", row.loss},
                  {"accuracy", row.accuracy},
                  {"accuracy_top5", row.accuracy_top5},
                  {"learning_rate", row.learning_rate},
                  {"epoch_time", row.epoch_time},
                  {"images_per_second", static_cast<double>(totals.samples) / std::max(totals.seconds, 1e-9)},
                  {"order_digest", imgpack::to_hex(state_.epoch_digest)},
                  {"starved_share", shares.wait},
                  {"input_shares",
                   {{"read", shares.read},
                    {"check", shares.check},
                    {"decode", shares.decode},
                    {"augment", shares.augment},
                    {"wait", shares.wait},
                    {"copy", shares.copy}}},
                  {"exchanged_bytes_per_step", ground_.sync.bytes_per_step()},
                  {"fast_path", timing.stages.fast_path},
                  {"reference_path", timing.stages.reference_path},
                  {"left_out", timing.stages.left_out},
                  {"bottleneck", bottleneck_sentence(timing)},
                  {"stages", times_.take_sums()}});
  const bool last = at.step == schedule_.total_steps();
  ++at.epoch;
  at.batch = 0;
  at.evaluation_due = last || at.epoch % static_cast<uint64_t>(config_.evaluate_every.value) == 0;
  state_.epoch_digest = 0;
  state_.samples_delivered = 0;
  totals_.reset();
  seconds_before_ = 0;
  // Before any evaluation: a machine that is about to be taken away may not last that long.
  save();
  if (record_) record_->folder.publish_csv(metrics_csv(state_.history));
}

bool Trainer::evaluate_epoch() {
  const std::optional<Totals> totals = evaluator_->run(result_model(), listener_);
  if (!totals) return false;
  add_row("val", *totals);
  state_.position.evaluation_due = false;
  mark_if_best();
  const MetricRow& row = state_.history.back();
  listener_.say(epoch_title(row.epoch - 1) + "  " + config_.val_split + "  " + accuracy_text(row) + "  " +
                std::to_string(totals->samples) + " images  " + fixed_text(row.epoch_time, 1) + " s");
  event("evaluation", {{"stage", row.stage},
                       {"epoch", row.epoch},
                       {"step", state_.position.step},
                       {"loss", row.loss},
                       {"accuracy", row.accuracy},
                       {"accuracy_top5", row.accuracy_top5},
                       {"images", totals->samples},
                       {"epoch_time", row.epoch_time}});
  if (record_) record_->folder.publish_csv(metrics_csv(state_.history));
  if (record_) record_->events.flush();
  return true;
}

TrainOutcome Trainer::stopped() {
  if (record_) {
    ground_.sync.enter(RankStage::kSaving);
    record_->writer.wait();
    note_saved();
    event("stop", {{"step", state_.position.step}, {"epoch", state_.position.epoch + 1}});
    record_->events.finish("KILLED");
  }
  // Nobody ends before the checkpoint is on the disk: a launcher may end the others with the first.
  ground_.sync.barrier();
  listener_.say("stopped at step " + std::to_string(state_.position.step) + " of " +
                std::to_string(schedule_.total_steps()) + "; the checkpoint is in " + run_path().string());
  return {RunEnd::kStopped, run_path(), {}, record_ != nullptr};
}

// Ranks never exchange weights after the beginning: that they agree in the end shows that each took the same steps.
void Trainer::require_equal_weights(uint64_t digest) {
  if (ground_.sync.world() == 1) return;
  const auto high = static_cast<double>(digest >> 32), low = static_cast<double>(digest & 0xffffffff);
  torch::Tensor most = torch::tensor({high, low, -high, -low}, torch::kDouble).to(ground_.device);
  ground_.sync.all_reduce_max(most);
  most = most.cpu();
  const double* values = most.const_data_ptr<double>();
  if (values[0] != -values[2] || values[1] != -values[3])
    throw Error(ErrorKind::kInternal, "the ranks ended with different weights");
}

TrainOutcome Trainer::finish() {
  const uint64_t digest = weights_digest(result_model());
  require_equal_weights(digest);
  if (record_) {
    ground_.sync.enter(RankStage::kSaving);
    record_->writer.wait();
    note_saved();
    std::vector<std::string> class_names;
    for (const imgpack::ClassInfo& info : ground_.dataset.manifest().classes) class_names.push_back(info.names);
    const auto metadata =
        weights_metadata(step_.model()->options(), config_, state_.classes, state_.dataset_id, class_names);
    write_tensors(ground_.fs, record_->folder.weights(), state_dict(*result_model()), metadata);
  }
  double seconds = 0;
  for (const MetricRow& row : state_.history) seconds += row.epoch_time;
  const MetricRow& row = state_.history.back();  // The evaluation of the last epoch.
  json::object result{{"epochs", row.epoch},
                      {"steps", state_.position.step},
                      {"loss", row.loss},
                      {"accuracy", row.accuracy},
                      {"accuracy_top5", row.accuracy_top5},
                      {"seconds", seconds},
                      {"resumes", state_.resumes},
                      {"order_digest", imgpack::to_hex(state_.run_digest)},
                      {"samples_repeated", state_.samples_repeated},
                      {"samples_skipped", state_.samples_skipped},
                      {"ranks", ground_.sync.world()},
                      {"weights", kWeightsName},
                      {"weights_digest", imgpack::to_hex(digest)}};
  if (record_) {
    event("finish", result);
    record_->events.finish("FINISHED");
    draw();
    record_->folder.finish(result);
  }
  listener_.say("order digest " + imgpack::to_hex(state_.run_digest) + ", " + std::to_string(state_.samples_repeated) +
                " samples repeated, " + std::to_string(state_.samples_skipped) + " skipped");
  return {RunEnd::kFinished, run_path(), std::move(result), record_ != nullptr};
}

// Pictures are no part of the result: a run without gnuplot is a whole run.
void Trainer::draw() {
  const std::string failure = draw_run(ground_.fs, run_path());
  if (!failure.empty()) listener_.warn("no plots were drawn: " + failure);
}

void Trainer::save() {
  if (saved_step_ == state_.position.step) return;
  add_left_out();
  DeviceTotals everywhere(ground_.device);
  everywhere.sums().copy_(totals_.sums());
  ground_.sync.all_reduce_sum(everywhere.sums());
  state_.totals = everywhere.read();
  ground_.sync.require_all();  // Nothing that an exchange cut short has left is ever saved.
  require_finite(state_.totals);
  const bool inside_epoch = state_.position.batch > 0;
  state_.totals.seconds = inside_epoch ? seconds_before_ + seconds_since(epoch_start_) : 0;
  state_.scaler = step_.scaler().state();
  saved_step_ = state_.position.step;
  collect_times();
  if (!record_) return;
  ground_.sync.enter(RankStage::kSaving);
  note_saved();
  record_->writer.save(state_);
  if (config_.step_times) imgpack::publish(ground_.fs, times_path(), times_.csv());
  record_->events.flush();
  ground_.sync.enter(RankStage::kCompute);
}

void Trainer::add_left_out() {
  if (config_.max_bad_records == 0) return;
  torch::Tensor count = torch::full({1}, static_cast<double>(watch_.take_left_out()),
                                    torch::dtype(torch::kDouble).device(ground_.device));
  ground_.sync.all_reduce_sum(count);
  state_.samples_skipped += static_cast<uint64_t>(count.item<double>());
}

void Trainer::note_saved() {
  const std::optional<SavedCheckpoint> saved = record_->writer.take_completed();
  if (!saved) return;
  event("checkpoint",
        {{"step", saved->step}, {"stall_seconds", saved->stall_seconds}, {"write_seconds", saved->write_seconds}});
}

void Trainer::show_progress(double lr) {
  if (seconds_since(last_note_) < kNoteSeconds) return;
  last_note_ = Clock::now();
  const Totals totals = totals_.read();
  require_finite(totals);
  listener_.note("loss " + fixed_text(totals.loss(), 3) + "  top-1 " + fixed_text(totals.top1_percent(), 1) +
                 " %  lr " + fixed_text(lr, 5));
  event("progress", {{"step", state_.position.step},
                     {"epoch", state_.position.epoch + 1},
                     {"loss", totals.loss()},
                     {"accuracy", totals.top1_percent()},
                     {"learning_rate", lr}});
}

// The sum of losses stays no number once it is none: that says from which step on, without a look from the host.
void Trainer::watch_loss() {
  const torch::NoGradGuard no_grad;
  const auto step = static_cast<int64_t>(state_.position.step);
  const torch::Tensor loss = totals_.sums()[0];
  if (!loss.is_cuda()) {
    if (!std::isfinite(*loss.const_data_ptr<double>())) diagnose(state_.position.step);
    return;
  }
  bad_step_ = torch::where((bad_step_ < 0).logical_and(loss.isfinite().logical_not()), step, bad_step_);
}

void Trainer::require_finite(const Totals& totals) {
  if (std::isfinite(totals.loss_sum)) return;
  const int64_t step = bad_step_.item<int64_t>();
  // Where another rank's loss is the bad one, this step is as near as it gets.
  diagnose(step >= 0 ? static_cast<uint64_t>(step) : state_.position.step - 1);
}

void Trainer::diagnose(uint64_t step) {
  LossDiagnosis diagnosis;
  const uint64_t per_epoch = schedule_.steps_per_epoch();
  diagnosis.step = step;
  diagnosis.epoch = step / per_epoch;
  diagnosis.batch = step % per_epoch;
  diagnosis.rates = schedule_.at_step(step);
  if (const auto scaler = step_.scaler().state()) diagnosis.scale = scaler->scale;
  diagnosis.precision = std::string(to_json(config_).at("precision").as_string());
  diagnosis.names =
      batch_names(ground_.fs, ground_.dataset.folder(), config_.train_split, order_, diagnosis.epoch, diagnosis.batch);
  if (record_) {
    try {
      record_->writer.wait();
    } catch (const Error& error) {
      listener_.warn(error.what());  // A save in progress may have found the same.
    }
    imgpack::publish(ground_.fs, run_path() / "diagnosis.json", pretty_json(to_json(diagnosis)));
    event("diagnosis",
          {{"step", diagnosis.step}, {"epoch", diagnosis.epoch + 1}, {"learning_rate", diagnosis.rates.lr}});
    record_->events.finish("FAILED");
  }
  throw Error(ErrorKind::kInvalidInput, describe(diagnosis), {}, {},
              "lower --lr, lengthen the warm-up or use --precision fp32; the last checkpoint is from before");
}

void Trainer::note_times(uint64_t step, const DeviceBatch& batch) {
  const data::StageSeconds input = pipeline_.stage_seconds();
  const double copied = feed_.copy_seconds(), seconds = seconds_since(last_step_);
  last_step_ = Clock::now();
  times_.host({step, static_cast<uint64_t>(batch.count), seconds, input.read - input_before_.read,
               input.decode - input_before_.decode, input.wait_for_batch - input_before_.wait_for_batch,
               copied - copied_before_});
  input_before_ = input;
  copied_before_ = copied;
  collect_times();
}

void Trainer::collect_times() {
  while (const auto times = step_.clock().take()) times_.device(*times);
}

// The checkpoint of the end of the epoch that was just evaluated, which is saved before any evaluation.
void Trainer::mark_if_best() {
  if (!record_ || !config_.keep_best || saved_step_ != state_.position.step) return;
  const double accuracy = state_.history.back().accuracy;
  for (size_t i = 0; i + 1 < state_.history.size(); ++i)
    if (state_.history[i].stage == "val" && state_.history[i].accuracy >= accuracy) return;
  record_->writer.wait();
  record_->checkpoints.mark_best(state_.position.step);
}

void Trainer::add_row(const char* stage, const Totals& totals) {
  const bool training = std::string_view(stage) == "train";
  const uint64_t epoch = state_.position.epoch + (training ? 1 : 0);
  // An evaluation goes with the epoch that it follows, also where the schedule was changed after that.
  const bool follows = !training && !state_.history.empty();
  const double lr = follows ? state_.history.back().learning_rate : schedule_.at_step(state_.position.step - 1).lr;
  state_.history.push_back(
      {stage, epoch, totals.loss(), totals.top1_percent(), totals.top5_percent(), lr, totals.seconds});
}

uint64_t Trainer::steps_of_epoch(uint64_t epoch) const {
  const uint64_t per_epoch = schedule_.steps_per_epoch();
  return std::min(per_epoch, schedule_.total_steps() - epoch * per_epoch);
}

std::string Trainer::epoch_title(uint64_t epoch) const {
  const uint64_t per_epoch = schedule_.steps_per_epoch();
  return "epoch " + std::to_string(epoch + 1) + "/" +
         std::to_string((schedule_.total_steps() + per_epoch - 1) / per_epoch);
}

}  // namespace imgtrain
