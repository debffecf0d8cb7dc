// imgtrain [train]: shards in, a trained model out; the same command again goes on where it stopped.
#include <iostream>

#include "engine/train/run/json_text.h"
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
#include "tools/imgtrain/data_files.h"
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
  cli::catch_report_signal();
  ConsoleListener listener(cli::console(), arguments.has("quiet"));
  const SpotNoticeWatcher watcher(
      spot_watch_from_environment(), [&](const SpotNotice& notice) { answer_notice(notice, listener); },
      [&](const std::string& line) { listener.warn(line); });
  const TrainOutcome outcome = train(data_files(arguments), request, listener);
  switch (outcome.end) {
    case RunEnd::kStopped:
      cli::throw_if_stopped("the checkpoint is saved: run the same command to go on");
      return cli::kExitInterrupted;
    case RunEnd::kAlreadyFinished:
      listener.say(outcome.folder.string() +
                   ": this run is finished already; nothing was done (--fresh starts another)");
      [[fallthrough]];
    case RunEnd::kFinished:
      print_result(outcome, arguments.has("json"));
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
  verb.options.push_back(cli::json_option());
  verb.options.push_back(cli::quiet_option());
  for (cli::Option& option : config_options()) verb.options.push_back(std::move(option));
  for (cli::Option& option : url_options()) verb.options.push_back(std::move(option));
  verb.examples = {
      {"imgtrain --shards DIR --recipe fast --duration 24ep --extend",
       "train on for longer than was asked for at first"},
      {"imgtrain --shards /mnt/data/imagenet.shards --recipe fast --out runs/r1", "train, or resume"},
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
