// imgtrain [train]: shards in, a trained model out; the same command again goes on where it stopped.
#include <iostream>
#include <optional>

#include "engine/train/run/json_text.h"
#include "engine/train/run/launch.h"
#include "engine/train/run/spot_notice.h"
#include "engine/train/trainer.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
#include "tools/cli/report_signal.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/cli/units.h"
#include "tools/imgtrain/config_options.h"
#include "tools/imgtrain/console_listener.h"
#include "tools/imgtrain/dashboard.h"
#include "tools/imgtrain/data_files.h"
#include "tools/imgtrain/rank_options.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;

std::string percent(const boost::json::value& value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f %%", value.to_number<double>());
  return text;
}

void print_result(const TrainOutcome& outcome, bool json) {
  if (json) {
    boost::json::object line{{"message_type", "result"}, {"run", outcome.folder.string()}};
    for (const auto& member : outcome.result) line[member.key()] = member.value();
    std::cout << compact_json(line) << "\n";
    return;
  }
  const boost::json::object& result = outcome.result;
  std::cout << "top-1 " << percent(result.at("accuracy")) << "  top-5 " << percent(result.at("accuracy_top5"))
            << "  after " << compact_json(result.at("epochs")) << " epochs, "
            << cli::format_seconds(result.at("seconds").to_number<double>()) << "\n"
            << "weights " << (outcome.folder / std::string(result.at("weights").as_string())).string() << "\n";
}

// Starts the page of a run as soon as there is one, where it was asked for.
class TrainListener : public ConsoleListener {
 public:
  explicit TrainListener(const cli::Arguments& arguments)
      : ConsoleListener(cli::console(), arguments.has("quiet"), launch_from_environment().rank) {
    if (arguments.has("dashboard") || arguments.has("dashboard-port"))
      port_ = static_cast<uint16_t>(arguments.number("dashboard-port", 0, 65'535));
  }
  void opened(const std::filesystem::path& folder) override {
    if (!port_) return;
    dashboard_.emplace(
        folder, *port_, [this](const std::string& line) { say(line); },
        [this](const std::string& line) { warn(line); });
  }

 private:
  std::optional<uint16_t> port_;  // nullopt: no page.
  std::optional<Dashboard> dashboard_;
};

// Called from the watcher's thread.
void answer_notice(const SpotNotice& notice, ConsoleListener& listener) {
  if (notice.kind == SpotNotice::Kind::kRebalance) {
    listener.warn("EC2 may take this machine back soon (rebalance recommendation): saving a checkpoint and going on");
    listener.ask_to_save();
    return;
  }
  listener.warn("EC2 takes this machine back: " + notice.action + " at " + notice.time + "; saving and stopping");
  cli::request_stop(cli::StopReason::kNotice);
}

int run(const cli::Arguments& arguments) {
  TrainRequest request;
  request.config = resolve_arguments(arguments);
  request.fresh = arguments.has("fresh");
  request.extend = arguments.has("extend");
  request.created_by = std::string("imgtrain ") + IMGPACK_VERSION;
  if (const auto code = launched_ranks(arguments)) return *code;
  cli::catch_report_signal();
  TrainListener listener(arguments);
  const SpotNoticeWatcher watcher(
      spot_watch_from_environment(), [&](const SpotNotice& notice) { answer_notice(notice, listener); },
      [&](const std::string& line) { listener.warn(line); });
  const TrainOutcome outcome = train(data_files(arguments), request, listener);
  switch (outcome.end) {
    case RunEnd::kStopped:
      cli::throw_if_stopped("the checkpoint is saved: run the same command to go on");
      return cli::kExitInterrupted;
    case RunEnd::kAlreadyFinished:
      if (!outcome.leads) return cli::kExitOk;
      listener.say(outcome.folder.string() +
                   ": this run is finished already; nothing was done (--fresh starts another)");
      [[fallthrough]];
    case RunEnd::kFinished:
      if (outcome.leads) print_result(outcome, arguments.has("json"));
  }
  return cli::kExitOk;
}

}  // namespace

cli::Verb train_verb() {
  cli::Verb verb;
  verb.name = "train";
  verb.summary = "train a model from shards, or go on with an unfinished run";
  verb.description =
      "Trains a ResNet from the shards that imgpack built. Options come from the recipe, then from the --config file, "
      "then from here; the result is printed, and stored in the run folder.\n\n"
      "The same command again goes on with an unfinished run from its last checkpoint, inside the epoch, with the same "
      "result as if it had never stopped. Other options for the same folder are an error that lists them. A finished "
      "run "
      "is left alone.\n\n"
      "On several GPUs and machines every rank runs this program: --gpus starts one process for each GPU of this "
      "machine; torchrun, srun, or RANK, WORLD_SIZE and MASTER_ADDR set by hand do so on many. The batch is shared out "
      "among the ranks, and the result is that of one rank with the same batch. A rank that is lost ends the others "
      "within seconds; the same command goes on from the last checkpoint, with any number of ranks.\n\n"
      "SIGUSR1 makes it say where the time of the epoch has gone so far, and what limits.\n\n"
      "The batch is that of all devices together. Lengths carry their unit: 16ep are epochs, 500ba batches.";
  verb.options = layer_options();
  verb.options.push_back({.name = "fresh",
                          .value = "",
                          .help = "If the run folder holds a run already, train into a new folder beside it."});
  verb.options.push_back({.name = "extend",
                          .value = "",
                          .help = "Go on with the run that is there under another length, batch, learning rate or "
                                  "schedule. The learning rates on both sides of the seam are printed."});
  verb.options.push_back({.name = "dashboard",
                          .value = "",
                          .help = "Show the run on a page of this machine while it trains, as `imgtrain watch` does."});
  verb.options.push_back(
      {.name = "dashboard-port",
       .value = "N",
       .help = "Port of that page, and a wish for it; 0: a free one. One that is taken is a warning.",
       .default_value = "8081"});
  cli::append(verb.options, rank_options());
  verb.options.push_back(cli::json_option());
  verb.options.push_back(cli::quiet_option());
  cli::append(verb.options, config_options());
  cli::append(verb.options, url_options());
  verb.examples = {
      {"imgtrain --shards DIR --recipe fast --duration 24ep --extend",
       "train on for longer than was asked for at first"},
      {"imgtrain --shards /mnt/data/imagenet.shards --recipe fast --out runs/r1", "train, or resume"},
      {"imgtrain --gpus all --shards DIR --recipe fast --out runs/r1", "on every GPU of this machine"},
      {"torchrun --no-python --nproc-per-node 8 imgtrain --shards DIR --out runs/r1",
       "under torchrun; docs/training.md has several machines and Slurm"},
      {"imgtrain --shards s3://BUCKET/DIR --cache-dir /scratch/cache --recipe fast",
       "from S3, every byte fetched once for each host"},
      {"imgtrain --shards DIR --recipe reference --batch 512 --lr-per-batch 1792",
       "a recipe on fewer devices, its learning rate scaled with the batch"},
  };
  verb.exit_status = cli::usual_exit_status({{4, "the shards or every checkpoint are damaged"},
                                             {5, "shards or a checkpoint of a version that this build does not read"}});
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
