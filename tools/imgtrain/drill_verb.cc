// imgtrain drill: rehearses an interruption before one costs money. Trains a few steps, stops as a notice would stop
// it, and goes on, with a clock on everything.
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "engine/train/run/json_text.h"
#include "engine/train/trainer.h"
#include "format/error.h"
#include "format/file.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/cli/units.h"
#include "tools/imgtrain/config_options.h"
#include "tools/imgtrain/console_listener.h"
#include "tools/imgtrain/data_files.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;
using Clock = std::chrono::steady_clock;

// Steps before the notice: enough for every kind of first-time work to be over.
constexpr int kStepsBefore = 4;
// What EC2 gives between the notice and the end.
constexpr double kNoticeSeconds = 120;
constexpr uint64_t kMaxLogBytes = uint64_t{64} << 20;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Asks for a stop after some batches of training, and remembers when.
class DrillListener : public ConsoleListener {
 public:
  DrillListener(cli::Console& console, int batches)
      : ConsoleListener(console, /*quiet=*/true), batches_left_(batches) {}

  void advance(uint64_t images) override {
    const Clock::time_point now = Clock::now();
    if (first_batch_ == Clock::time_point()) first_batch_ = now;
    step_seconds_ = seconds_between(last_batch_, now);
    last_batch_ = now;
    ConsoleListener::advance(images);
  }
  RunRequest take_request() override {
    if (ConsoleListener::take_request() == RunRequest::kStop) return RunRequest::kStop;
    return --batches_left_ <= 0 ? RunRequest::kStop : RunRequest::kNone;
  }
  Clock::time_point first_batch() const { return first_batch_; }
  Clock::time_point last_batch() const { return last_batch_; }
  double step_seconds() const { return step_seconds_; }

 private:
  int batches_left_;
  Clock::time_point first_batch_, last_batch_;
  double step_seconds_ = 0;
};

// The last checkpoint event of a run's log.
boost::json::object last_checkpoint(const std::filesystem::path& run) {
  std::stringstream lines(imgpack::read_text(imgpack::posix_file_system(), run / "metrics.jsonl", kMaxLogBytes));
  boost::json::object found;
  for (std::string line; std::getline(lines, line);) {
    boost::json::value event = boost::json::parse(line);
    if (event.as_object().at("message_type") == "checkpoint") found = event.as_object();
  }
  if (found.empty()) throw imgpack::Error(imgpack::ErrorKind::kInternal, "the drill saved no checkpoint", run);
  return found;
}

uint64_t checkpoint_bytes(const std::filesystem::path& run) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(run / "checkpoints")) bytes += entry.file_size();
  return bytes;
}

// Removes the folder it stands for, whatever happens.
class Temporary {
 public:
  explicit Temporary(std::filesystem::path path) : path_(std::move(path)) {
    if (std::filesystem::exists(path_)) {
      throw imgpack::Error(imgpack::ErrorKind::kInvalidInput, "the drill needs this folder for itself, and it exists",
                           path_, {}, "remove it, or choose another --out");
    }
  }
  ~Temporary() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

int run(const cli::Arguments& arguments) {
  TrainRequest request;
  request.config = resolve_arguments(arguments);
  request.created_by = std::string("imgtrain ") + IMGPACK_VERSION;
  const Temporary folder(request.config.values.out + ".drill");
  request.config.values.out = folder.path().string();
  request.config.values.mlflow.clear();  // A rehearsal is no run to be kept.
  request.config.values.tensorboard = false;

  DrillListener before(cli::console(), kStepsBefore);
  if (train(data_files(arguments), request, before).end != RunEnd::kStopped)
    throw imgpack::Error(imgpack::ErrorKind::kUsage,
                         "the run is over before it can be interrupted: lengthen --duration");
  const double to_stop = seconds_between(before.last_batch(), Clock::now());
  cli::throw_if_stopped("the drill was not finished");
  const boost::json::object save = last_checkpoint(folder.path());
  const uint64_t bytes = checkpoint_bytes(folder.path());

  DrillListener after(cli::console(), 1);
  const Clock::time_point restart = Clock::now();
  train(data_files(arguments), request, after);
  const double to_resume = seconds_between(restart, after.first_batch());
  cli::throw_if_stopped("the drill was not finished");

  const double write = save.at("write_seconds").to_number<double>(),
               stall = save.at("stall_seconds").to_number<double>();
  // A notice comes anywhere inside a step.
  const double worst = before.step_seconds() + to_stop;
  if (arguments.has("json")) {
    std::cout << compact_json(boost::json::object{{"message_type", "drill"},
                                                  {"step_seconds", before.step_seconds()},
                                                  {"stop_seconds", to_stop},
                                                  {"stall_seconds", stall},
                                                  {"write_seconds", write},
                                                  {"stall_below_step", stall < before.step_seconds()},
                                                  {"checkpoint_bytes", bytes},
                                                  {"resume_seconds", to_resume},
                                                  {"notice_seconds", kNoticeSeconds},
                                                  {"in_time", worst < kNoticeSeconds}})
              << "\n";
  } else {
    std::cout << "notice to stop: " << cli::format_seconds(worst) << " at most (one step of "
              << cli::format_seconds(before.step_seconds()) << ", then the save)\n"
              << "save: " << cli::format_bytes(bytes) << ", training stood still for " << cli::format_seconds(stall)
              << (stall < before.step_seconds() ? " (less than a step)" : " (more than a step)")
              << ", on the disk after " << cli::format_seconds(write) << " more\n"
              << "start to first step, from the checkpoint: " << cli::format_seconds(to_resume) << "\n"
              << "EC2 gives " << cli::format_seconds(kNoticeSeconds) << ": "
              << (worst < kNoticeSeconds ? "in time" : "NOT in time") << "\n";
  }
  return worst < kNoticeSeconds ? cli::kExitOk : cli::kExitFailed;
}

}  // namespace

cli::Verb drill_verb() {
  cli::Verb verb;
  verb.name = "drill";
  verb.summary = "rehearse an interruption and time the save";
  verb.description =
      "Trains a few steps of the run that the same options would train, in OUT.drill, stops as an EC2 interruption "
      "notice "
      "would stop it, goes on from the checkpoint, and says how long each took. The folder is removed.";
  verb.options = layer_options();
  verb.options.push_back(cli::json_option());
  cli::append(verb.options, config_options());
  cli::append(verb.options, url_options());
  verb.examples = {{"imgtrain drill --shards DIR --recipe fast", "before renting a spot machine for it"}};
  verb.exit_status = cli::usual_exit_status({{1, "failed, or a save takes longer than a notice gives"}});
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
