#include "engine/train/trainer.h"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include "engine/data/batch_planner.h"
#include "engine/model/weights.h"
#include "engine/report/portable/run_charts.h"
#include "engine/train/checkpoint.h"
#include "engine/train/checkpoint_writer.h"
#include "engine/train/compute_device.h"
#include "engine/train/evaluator.h"
#include "engine/train/model_setup.h"
#include "engine/train/rank_setup.h"
#include "engine/train/request_agreement.h"
#include "engine/train/run/bottleneck.h"
#include "engine/train/run/checkpoint_store.h"
#include "engine/train/run/ema_rule.h"
#include "engine/train/run/image_size_schedule.h"
#include "engine/train/run/input_options.h"
#include "engine/train/run/input_watch.h"
#include "engine/train/run/json_text.h"
#include "engine/train/run/live_feed.h"
#include "engine/train/run/loss_diagnosis.h"
#include "engine/train/run/machine_use.h"
#include "engine/train/run/order_proof.h"
#include "engine/train/run/run_events.h"
#include "engine/train/run/run_extension.h"
#include "engine/train/run/run_folder.h"
#include "engine/train/run/run_state.h"
#include "engine/train/run/step_times.h"
#include "engine/train/step_trace.h"
#include "engine/train/training_step.h"
#include "engine/train/weight_average.h"
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
// How often the use of processors and memory is looked at.
constexpr std::chrono::milliseconds kMachineInterval{5'000};
// Of this process: work of the first time is over by then.
constexpr uint64_t kTracedStep = 5;
constexpr const char* kWeightsName = "weights.safetensors";
constexpr uint64_t kMaxTimesBytes = uint64_t{1} << 30;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string fixed(double value, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), "%.*f", digits, value);
  return buffer;
}

std::string accuracy_text(const MetricRow& row) {
  return "loss " + fixed(row.loss, 4) + "  top-1 " + fixed(row.accuracy, 2) + " %  top-5 " +
         fixed(row.accuracy_top5, 2) + " %";
}

// What a run stands on, made before it: each part outlives the Trainer.
struct Ground {
  imgpack::FileSystem& fs;
  RunListener& listener;
  const RunConfig& config;  // With what was left to choose on this machine chosen.
  const RunIdentity& identity;
  const imgpack::Dataset& dataset;
  torch::Device device;
  MachineFacts machine;
  GradientSync& sync;
  RunFolder* folder;                       // Of rank 0, which alone reads and writes it; nullptr on the others.
  std::optional<RunConfig> extended_from;  // --extend: what the run was until now, where that differs.
  LiveFeed* live;                          // As the folder.
};

class Trainer {
 public:
  explicit Trainer(const Ground& ground);
  TrainOutcome run();

 private:
  // What rank 0 writes down.
  struct Record {
    Record(const Ground& ground, TrainingStep& step, std::optional<WeightAverage>& average);
    RunFolder& folder;
    CheckpointStore checkpoints;
    CheckpointWriter writer;
    RunEvents events;
  };

  void begin_or_resume();
  void begin_here(const std::optional<CheckpointStore::Found>& found);
  void begin_everywhere(bool resumed);
  std::optional<CheckpointStore::Found> find_checkpoint();
  void resume(const CheckpointStore::Found& found);
  void cross_seam(RunState& saved);
  std::optional<DeviceBatch> next_batch();
  bool train_epoch();     // False: stopped.
  void close_epoch();     // Metrics, proof of order, checkpoint.
  bool evaluate_epoch();  // False: stopped.
  TrainOutcome stopped();
  TrainOutcome finish();

  // What is evaluated and saved in the end.
  ResNet& result_model() { return average_ ? average_->model() : step_.model(); }
  void draw();  // plots/ of the run folder.
  void save();
  void event(const char* type, const json::object& fields) {
    if (record_) record_->events.append(type, fields);
  }
  void require_equal_weights();
  void note_saved();
  void add_left_out();  // Of all ranks, to the samples skipped. Every rank calls it equally often.
  void show_progress(double lr);
  void require_finite(const Totals& totals);
  [[noreturn]] void diagnose(uint64_t step);
  void watch_loss();
  void note_times(uint64_t step, const DeviceBatch& batch);
  void collect_times();
  void mark_if_best();
  void add_row(const char* stage, const Totals& totals);
  std::filesystem::path run_path() const {
    return ground_.folder ? ground_.folder->path() : std::filesystem::path(config_.out);
  }
  std::filesystem::path times_path() const { return run_path() / "step_times.csv"; }
  uint64_t exchanged_per_step() const;            // Of the running epoch.
  uint64_t steps_of_epoch(uint64_t epoch) const;  // The last one may be cut short by the duration.
  std::string epoch_title(uint64_t epoch) const;

  const Ground& ground_;
  RunListener& listener_;
  const RunConfig& config_;
  const imgpack::SplitView& train_split_;
  const data::PipelineOptions input_;
  const data::SampleOrder order_;
  const LrSchedule schedule_;
  const ImageSizeSchedule sizes_;
  const EmaRule ema_;
  const uint64_t checkpoint_steps_;
  const std::shared_ptr<data::SlotAllocator> slots_;
  data::BatchPipeline pipeline_;
  BatchFeed feed_;
  InputWatch watch_;
  TrainingStep step_;
  std::optional<WeightAverage> average_;  // nullopt: the run keeps none.
  DeviceTotals totals_;
  std::optional<Evaluator> evaluator_;
  RequestAgreement agreement_;
  std::unique_ptr<Record> record_;  // nullptr: another rank has it.
  StepTimes times_;
  torch::Tensor bad_step_;  // On the device: the first step of this process whose loss was no number, else -1.
  RunState state_;
  std::optional<uint64_t> saved_step_;
  Clock::time_point epoch_start_, last_note_, last_step_;
  data::StageSeconds input_before_;     // When the step before was done.
  double copied_before_ = 0;            // Seconds of copies to the device until then.
  double copied_in_epochs_before_ = 0;  // And until the running epoch began.
  uint64_t traceable_steps_ = 0;
  uint64_t exchanged_before_ = 0, steps_before_ = 0;  // When the running epoch began here.
  double seconds_before_ = 0;                         // Of the running epoch, by runs that this one continues.
};

Trainer::Record::Record(const Ground& ground, TrainingStep& step, std::optional<WeightAverage>& average)
    : folder(*ground.folder),
      checkpoints(ground.fs, folder.checkpoints(), ground.config.keep_checkpoints,
                  {ground.config.keep_every, ground.config.keep_best}),
      writer(ground.fs, checkpoints, step.model(), step.optimizer(),
             average ? state_dict(*average->model()) : NamedTensors()),
      events(ground.fs, folder.path(), ground.config, ground.listener) {
  events.also_to(*ground.live);
}

Trainer::Trainer(const Ground& ground)
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
      average_(config_.ema == AverageKind::kNone ? std::nullopt : std::optional<WeightAverage>(step_.model())),
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

void Trainer::begin_or_resume() {
  state_.created_by = ground_.identity.created_by;
  state_.dataset_id = ground_.identity.dataset_id;
  state_.classes = class_names(ground_.dataset);
  state_.config = ground_.identity.config;
  state_.machine = ground_.machine;
  std::optional<CheckpointStore::Found> found;
  if (record_) {
    if (record_->folder.status() == RunStatus::kNew) {
      record_->folder.begin(ground_.identity);
    } else {
      found = find_checkpoint();
      if (!found) listener_.say("the run in " + run_path().string() + " has no checkpoint yet: starting again");
    }
    begin_here(found);
  }
  if (ground_.sync.world() > 1) begin_everywhere(found.has_value());
  listener_.say("input: " + std::to_string(pipeline_.threads()) + " decoding threads, " + pipeline_.reading());
  event(found ? "resume" : "start", {{"step", state_.position.step},
                                     {"epoch", state_.position.epoch + 1},
                                     {"total_steps", schedule_.total_steps()},
                                     {"device", state_.machine.device},
                                     {"threads", state_.machine.threads},
                                     {"ranks", state_.machine.world},
                                     {"created_by", state_.created_by}});
  if (record_) listener_.opened(run_path());
}

// On rank 0.
void Trainer::begin_here(const std::optional<CheckpointStore::Found>& found) {
  record_->checkpoints.prepare();
  if (found) {
    resume(*found);
  } else {
    if (ground_.extended_from) record_->folder.extend(ground_.identity);
    if (!config_.init.empty()) {
      load_initial_weights(ground_.fs, config_, step_.model());
      if (average_) average_->update(EmaRule::Action::kCopy, 0);
      listener_.say("initial weights: " + config_.init);
    }
  }
  const std::filesystem::path times = times_path();
  if (config_.step_times && ground_.fs.exists(times))
    times_ = StepTimes(true, imgpack::read_text(ground_.fs, times, kMaxTimesBytes), state_.position.step);
}

// Rank 0 has read the checkpoint, or has none: every rank begins with its state and weights. Only its host needs the
// run folder.
void Trainer::begin_everywhere(bool resumed) {
  const std::string text =
      ground_.sync.share(record_ ? compact_json(json::object{{"resumed", resumed}, {"state", to_json(state_)}}) : "");
  if (!record_) {
    const json::value said = json::parse(text);
    const RunState state = run_state_from_json(said.at("state").as_object(), "rank 0's state");
    std::vector<std::string> other = differences(state.config, config_);
    if (state.dataset_id != state_.dataset_id)
      other.push_back("data set: " + state.dataset_id + " there, " + state_.dataset_id + " here");
    if (!other.empty()) {
      std::string list;
      for (const std::string& line : other) list += "\n  " + line;
      throw Error(ErrorKind::kUsage, "rank " + std::to_string(ground_.sync.rank()) +
                                         " was given another run than rank 0 (before: there, now: here):" + list);
    }
    state_ = state;
    if (state_.scaler) step_.scaler().load(*state_.scaler);
    if (said.at("resumed").as_bool()) saved_step_ = state_.position.step;
  }
  NamedTensors tensors = state_dict(*step_.model());
  for (const NamedTensors& more :
       {step_.optimizer().state(), average_ ? state_dict(*average_->model()) : NamedTensors()})
    tensors.insert(tensors.end(), more.begin(), more.end());
  std::vector<torch::Tensor> values;
  for (const auto& [name, tensor] : tensors) values.push_back(tensor);
  ground_.sync.broadcast(values);
}

// The newest whole one. Where a run goes on with another batch, the newest at the end of an epoch: inside one, the
// order of what is left would be another.
std::optional<CheckpointStore::Found> Trainer::find_checkpoint() {
  uint64_t passed_over = 0;
  const auto fits = [&](const CheckpointStore::Found& found) {
    const RunState saved = run_state_from_json(found.state, found.path.string());
    const bool good = !changes_order(saved.config, config_) || saved.position.batch == 0;
    if (!good) passed_over = std::max(passed_over, saved.position.step);
    return good;
  };
  auto found = record_->checkpoints.newest([&](const std::string& line) { listener_.warn(line); }, fits);
  if (passed_over > 0 && !found) {
    throw Error(ErrorKind::kUsage, "batch: another one can only begin with an epoch, and this run has not finished one",
                run_path(), {}, "go on with the old batch until the end of the first epoch");
  }
  if (passed_over > 0) {
    listener_.warn("another batch can only begin with an epoch: going back from step " + std::to_string(passed_over) +
                   " to step " + std::to_string(found->step) + ", where the last one ended");
  }
  return found;
}

// Where the checkpoint is of another configuration than the run is now.
void Trainer::cross_seam(RunState& saved) {
  const std::vector<std::string> changes = differences(saved.config, config_);
  if (changes.empty()) {
    if (ground_.extended_from) record_->folder.extend(ground_.identity);
    return;
  }
  const data::SampleOrder order_before(train_split_, training_input(saved.config, {}).order);
  const LrSchedule schedule_before(saved.config, order_before.batches_per_epoch());
  const Seam seam = seam_of(saved.position, saved.config, schedule_before, config_, schedule_);
  if (ground_.extended_from) record_->folder.extend(ground_.identity);
  listener_.say(describe(seam, changes));
  saved.position = seam.position;
  boost::json::array list;
  for (const std::string& line : changes) list.push_back(json::value(line));
  event("extend", {{"step", seam.position.step},
                   {"epoch", seam.position.epoch + 1},
                   {"changes", std::move(list)},
                   {"learning_rate_before", seam.lr_before},
                   {"learning_rate", seam.lr_now}});
}

void Trainer::resume(const CheckpointStore::Found& found) {
  RunState saved = load_checkpoint(ground_.fs, record_->checkpoints, found, step_.model(), step_.optimizer(),
                                   average_ ? &average_->model() : nullptr);
  if (saved.dataset_id != state_.dataset_id || saved.classes != state_.classes)
    throw Error(ErrorKind::kInvalidInput, "the checkpoint belongs to another data set", found.path);
  cross_seam(saved);
  const Position& at = saved.position;
  const OrderProof proof = prove_order(train_split_, order_, at.epoch, at.batch);
  if (proof.digest != saved.epoch_digest) {
    throw Error(ErrorKind::kInvalidInput,
                "order of samples differs from the one that this run began with: expected digest " +
                    imgpack::to_hex(saved.epoch_digest) + ", found " + imgpack::to_hex(proof.digest),
                found.path, {}, "use the program and the data set that began it");
  }
  if (saved.machine != state_.machine) {
    listener_.warn("another machine than the checkpoint's: results will agree closely, but not bit for bit (" +
                   saved.machine.cpu + ", " + std::to_string(saved.machine.threads) + " threads, " +
                   saved.machine.device + " before; " + state_.machine.cpu + ", " +
                   std::to_string(state_.machine.threads) + " threads, " + state_.machine.device + " now)");
  }
  saved.created_by = state_.created_by;
  saved.config = state_.config;
  saved.machine = state_.machine;
  ++saved.resumes;
  state_ = std::move(saved);
  totals_.load(state_.totals);
  seconds_before_ = state_.totals.seconds;
  if (state_.scaler) step_.scaler().load(*state_.scaler);
  saved_step_ = at.step;
  listener_.say("resumed at epoch " + std::to_string(state_.position.epoch + 1) + ", batch " +
                std::to_string(state_.position.batch) + " (step " + std::to_string(state_.position.step) + " of " +
                std::to_string(schedule_.total_steps()) + "): order digest verified, " +
                std::to_string(state_.samples_repeated + proof.repeated) + " samples repeated, " +
                std::to_string(state_.samples_skipped) + " skipped");
}

std::optional<DeviceBatch> Trainer::next_batch() {
  const InputWait waiting(ground_.sync, [this] { return pipeline_.stage_seconds().read; });
  return feed_.next();
}

bool Trainer::train_epoch() {
  Position& at = state_.position;
  const uint64_t batches = steps_of_epoch(at.epoch);
  const auto images = [&](uint64_t n) { return std::min(n * order_.batch(), order_.samples_per_epoch()); };
  listener_.begin_pass(
      {epoch_title(at.epoch), images(batches), images(at.batch), static_cast<double>(config_.log_seconds)});
  epoch_start_ = last_note_ = last_step_ = Clock::now();
  exchanged_before_ = ground_.sync.bytes_exchanged();
  steps_before_ = at.step;
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
    step_.run(*batch, {rates, at.step, sizes_.trained(at.step)}, totals_);
    if (trace) trace->save(ground_.fs, config_.trace);
    if (average_) average_->update(ema_.after(at.epoch, at.batch), ema_.decay());
    watch_loss();
    {
      const InputWait waiting(ground_.sync, [this] { return pipeline_.stage_seconds().read; });
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
  listener_.say(epoch_title(at.epoch) + "  train  " + accuracy_text(row) + "  lr " + fixed(row.learning_rate, 6) +
                "  " + fixed(row.epoch_time, 1) + " s");
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
                  {"exchanged_bytes_per_step", exchanged_per_step()},
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
                std::to_string(totals->samples) + " images  " + fixed(row.epoch_time, 1) + " s");
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
void Trainer::require_equal_weights() {
  if (ground_.sync.world() == 1) return;
  const uint64_t digest = weights_digest(result_model());
  const auto high = static_cast<double>(digest >> 32), low = static_cast<double>(digest & 0xffffffff);
  torch::Tensor most = torch::tensor({high, low, -high, -low}, torch::kDouble).to(ground_.device);
  ground_.sync.all_reduce_max(most);
  most = most.cpu();
  const double* values = most.const_data_ptr<double>();
  if (values[0] != -values[2] || values[1] != -values[3])
    throw Error(ErrorKind::kInternal, "the ranks ended with different weights");
}

TrainOutcome Trainer::finish() {
  require_equal_weights();
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
                      {"weights_digest", imgpack::to_hex(weights_digest(result_model()))}};
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
  listener_.note("loss " + fixed(totals.loss(), 3) + "  top-1 " + fixed(totals.top1_percent(), 1) + " %  lr " +
                 fixed(lr, 5));
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

uint64_t Trainer::exchanged_per_step() const {
  const uint64_t steps = state_.position.step - steps_before_;
  return steps == 0 ? 0 : (ground_.sync.bytes_exchanged() - exchanged_before_) / steps;
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

std::string rate_rule(const RunConfig& config) {
  if (config.lr_per_batch == 0) return "lr " + number_text(config.lr) + ", used as it stands (lr_per_batch 0)";
  return "lr " + number_text(config.lr) + " per " + std::to_string(config.lr_per_batch) + " images x batch " +
         std::to_string(config.batch) + " = " + number_text(config.peak_lr());
}

}  // namespace

TrainOutcome train(imgpack::FileSystem& fs, const TrainRequest& request, RunListener& outer) {
  ResolvedConfig resolved = request.config;
  RunConfig& config = resolved.values;
  if (config.shards.empty()) throw Error(ErrorKind::kUsage, "shards: expected the folder of a data set, found nothing");
  const Launch launch = launch_from_environment();
  std::optional<imgpack::Dataset> dataset;
  std::optional<RunIdentity> identity;
  std::optional<RunFolder> folder;
  std::optional<RunConfig> extended_from;
  // Rank 0's is the run folder; false: the run in it is finished.
  const auto open = [&] {
    if (request.fresh && launch.rank == 0) config.out = fresh_folder(fs, config.out).string();
    dataset.emplace(imgpack::Dataset::open(fs, config.shards));
    identity.emplace(RunIdentity{config, resolved.recipe, dataset->manifest().dataset_id, request.created_by});
    if (launch.rank > 0) return true;
    folder.emplace(fs, config.out);
    if (folder->status() != RunStatus::kNew) {
      if (!request.extend) {
        folder->require_same(*identity);
      } else if (!folder->extension(*identity).empty()) {
        extended_from = read_run_config(fs, folder->path());
      }
    }
    return folder->status() != RunStatus::kFinished || extended_from.has_value();
  };
  const auto already_finished = [&]() -> TrainOutcome {
    return {RunEnd::kAlreadyFinished, config.out, folder ? folder->result() : json::object(), folder.has_value()};
  };
  // Alone, what is wrong there is found before a device is touched; with others it is they who should hear of it.
  if (launch.world == 1 && !open()) return already_finished();

  const torch::Device device = choose_device(config, launch.local_rank);
  const int64_t threads = configure_compute(config, device, launch.local_world);
  const auto sync = make_gradient_sync(launch, device, sync_options(config, outer));
  std::optional<LiveFeed> live;
  std::optional<LiveListener> told_live;
  return reporting_failure(*sync, [&]() -> TrainOutcome {
    if (launch.world > 1) {
      constexpr const char* kFinished = "finished";
      if (sync->share(open() ? "" : kFinished) == kFinished) return already_finished();
    }
    if (folder) {
      live.emplace(fs, folder->path());
      told_live.emplace(outer, *live);
    }
    RunListener& listener = told_live ? *told_live : outer;
    const MachineFacts machine = machine_facts(device, threads, sync->world());
    std::string about =
        "device: " + machine.device + " (" + machine.cpu + ", " + std::to_string(threads) + " compute threads)";
    if (sync->world() > 1)
      about += "\nranks: " + std::to_string(sync->world()) + ", " + std::to_string(launch.local_world) +
               " of them here (" + launch.launcher + ")";
    listener.say(describe(resolved) + "learning rate: " + rate_rule(config) + "\n" + about);
    config.input_threads = choose_input_threads(config, device, launch.local_world);
    const Ground ground{fs,
                        listener,
                        config,
                        *identity,
                        *dataset,
                        device,
                        machine,
                        *sync,
                        folder ? &*folder : nullptr,
                        extended_from,
                        live ? &*live : nullptr};
    Trainer trainer(ground);
    std::optional<MachineWatch> use;
    if (live) use.emplace(kMachineInterval, [&](const MachineUse& now) { live->append("machine", to_json(now)); });
    return reporting_failure(*sync, [&] { return trainer.run(); });
  });
}

}  // namespace imgtrain
