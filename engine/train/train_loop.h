// Trainer: one process's share of a training run, from its first step or a checkpoint to the result. Its parts:
//
//   train_loop.cc    run(): epochs of steps, checkpoints, evaluations, the result
//   train_begin.cc   where a run begins: anew, at a checkpoint, past a changed configuration, on every rank
//   trainer.cc       train(): data set, folder, device and ranks, before there is a Trainer
#pragma once

#include <torch/torch.h>

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "engine/train/batch_feed.h"
#include "engine/train/checkpoint_writer.h"
#include "engine/train/compute_device.h"
#include "engine/train/data_parallel.h"
#include "engine/train/evaluator.h"
#include "engine/train/request_agreement.h"
#include "engine/train/run/checkpoint_store.h"
#include "engine/train/run/ema_rule.h"
#include "engine/train/run/image_size_schedule.h"
#include "engine/train/run/input_watch.h"
#include "engine/train/run/live_feed.h"
#include "engine/train/run/run_events.h"
#include "engine/train/run/run_folder.h"
#include "engine/train/run/run_state.h"
#include "engine/train/run/schedule.h"
#include "engine/train/run/step_times.h"
#include "engine/train/trainer.h"
#include "engine/train/training_step.h"
#include "engine/train/weight_average.h"

namespace imgtrain {

// What a run stands on, made before it: each part outlives the Trainer.
struct TrainGround {
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

// One thread. Throws as train() does.
class Trainer {
 public:
  explicit Trainer(const TrainGround& ground);
  TrainOutcome run();

 private:
  using Clock = std::chrono::steady_clock;

  // What rank 0 writes down.
  struct Record {
    Record(const TrainGround& ground, TrainingStep& step, std::optional<WeightAverage>& average);
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
  void event(const char* type, const boost::json::object& fields) {
    if (record_) record_->events.append(type, fields);
  }
  void require_equal_weights(uint64_t digest);
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
  uint64_t steps_of_epoch(uint64_t epoch) const;  // The last one may be cut short by the duration.
  std::string epoch_title(uint64_t epoch) const;

  const TrainGround& ground_;
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
  double seconds_before_ = 0;  // Of the running epoch, by runs that this one continues.
};

}  // namespace imgtrain
