#include "engine/train/trainer.h"

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "engine/model/fused_batch_norm.h"
#include "engine/train/compute_device.h"
#include "engine/train/rank_setup.h"
#include "engine/train/run/json_text.h"
#include "engine/train/run/machine_use.h"
#include "engine/train/run/run_extension.h"
#include "engine/train/train_loop.h"
#include "format/dataset.h"
#include "format/error.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
using imgpack::Error;
using imgpack::ErrorKind;

// How often the use of processors and memory is looked at.
constexpr std::chrono::milliseconds kMachineInterval{5'000};

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
    if (device.is_cuda() && config.fused)
      about += device_fused_norm(device) != nullptr
                   ? "\nkernels: fused batch norm and input"
                   : "\nkernels: libtorch's alone; this program has none that the device can use";
    if (sync->world() > 1)
      about += "\nranks: " + std::to_string(sync->world()) + ", " + std::to_string(launch.local_world) +
               " of them here (" + launch.launcher + ")";
    listener.say(describe(resolved) + "learning rate: " + rate_rule(config) + "\n" + about);
    config.input_threads = choose_input_threads(config, device, launch.local_world);
    const TrainGround ground{fs,
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
