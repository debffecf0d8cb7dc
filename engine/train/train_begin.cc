#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <utility>
#include <vector>

#include "engine/model/weights.h"
#include "engine/train/checkpoint.h"
#include "engine/train/model_setup.h"
#include "engine/train/run/input_options.h"
#include "engine/train/run/json_text.h"
#include "engine/train/run/order_proof.h"
#include "engine/train/run/run_extension.h"
#include "engine/train/train_loop.h"
#include "format/checksum.h"
#include "format/error.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
using imgpack::Error;
using imgpack::ErrorKind;

constexpr uint64_t kMaxTimesBytes = uint64_t{1} << 30;

}  // namespace

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
      if (average_) average_->update(EmaRule::Action::kCopy);
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

}  // namespace imgtrain
