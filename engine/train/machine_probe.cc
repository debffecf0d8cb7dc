#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "engine/data/machine.h"
#include "engine/train/compute_device.h"
#include "engine/train/run/input_options.h"
#include "engine/train/training_step.h"
#include "engine/train/trial.h"
#include "engine/train/trial_ground.h"

namespace imgtrain {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kReadBytes = size_t{4} << 20;
// A read from a page cache says nothing about a disk; a few seconds of a disk say enough.
constexpr double kReadSeconds = 8;
constexpr uint64_t kReadMost = uint64_t{4} << 30;
constexpr double kMib = 1024.0 * 1024.0;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Shards of the training split, front to back.
void probe_disk(const TrialGround& ground, double budget, MachineProbe& probe) {
  const auto& split = ground.dataset().split(ground.config().train_split);
  const size_t shards = split.first_record.size() - 1;
  std::unique_ptr<std::byte, void (*)(void*)> memory(static_cast<std::byte*>(std::aligned_alloc(4096, kReadBytes)),
                                                     std::free);
  if (!memory) throw std::bad_alloc();
  const std::span<std::byte> buffer(memory.get(), kReadBytes);
  uint64_t bytes = 0, whole = 0;
  for (size_t shard = 0; shard < shards; ++shard)
    whole += ground.fs().open(ground.dataset().shard_path(split.info.name, static_cast<uint32_t>(shard)))->size();
  probe.bytes_per_image = whole / std::max<uint64_t>(1, split.records());
  const Clock::time_point start = Clock::now();
  for (size_t shard = 0; shard < shards && bytes < kReadMost; ++shard) {
    const auto path = ground.dataset().shard_path(split.info.name, static_cast<uint32_t>(shard));
    auto file = ground.fs().open_direct(path);
    probe.past_cache = file != nullptr;
    if (!file) file = ground.fs().open(path);
    // Whole buffers only: a direct read must not end inside a page.
    for (uint64_t offset = 0; offset < file->size() && seconds_since(start) < std::min(budget, kReadSeconds);
         offset += kReadBytes)
      bytes += file->read_at(offset, buffer);
    if (seconds_since(start) >= std::min(budget, kReadSeconds)) break;
  }
  probe.read_mib_s = static_cast<double>(bytes) / kMib / std::max(seconds_since(start), 1e-9);
}

// Training batches, decoded on every core and thrown away.
void probe_decoding(const TrialGround& ground, double budget, MachineProbe& probe) {
  RunConfig config = ground.config();
  config.input_threads = data::usable_cores();
  data::BatchPipeline pipeline(ground.fs(), ground.dataset(), training_input(config, {}));
  uint64_t images = 0, epoch = 0;
  double decode = 0;
  const Clock::time_point start = Clock::now();
  while (seconds_since(start) < budget) {
    pipeline.start_epoch(epoch++);
    while (seconds_since(start) < budget) {
      const auto batch = pipeline.next();
      if (!batch) break;
      images += batch->count;
    }
    // Of whole batches: what is in flight when time is up is a small part of it.
    decode += pipeline.stage_seconds().decode;
  }
  if (decode > 0) probe.decode_per_core = static_cast<double>(images) / decode;
}

void probe_training(const TrialGround& ground, double budget, MachineProbe& probe) {
  const RunConfig& config = ground.config();
  const auto classes = static_cast<int64_t>(ground.dataset().manifest().classes.size());
  RunConfig trial = config;
  // One group is what a device has in memory at once; more of them take proportionally longer.
  trial.batch = config.bn_group;
  if (ground.device().is_cpu()) trial.batch = trial.bn_group = std::min<int64_t>(32, trial.batch);
  TrainingStep step(ground.make_model(), trial, ground.device(), ground.sync());
  DeviceTotals totals(ground.device());
  const DeviceBatch batch = made_up_batch(trial.batch, config.train_size, classes, ground.device());
  const Clock::time_point start = Clock::now();
  std::vector<double> times;
  // The first step makes what later ones use again.
  for (int i = 0; i < 2 || (seconds_since(start) < budget && i < 1000); ++i) {
    const Clock::time_point begun = Clock::now();
    step.run(batch, {1e-3, config.momentum}, totals);
    totals.read();  // Waits for the device.
    if (i > 0) times.push_back(seconds_since(begun));
  }
  std::sort(times.begin(), times.end());
  probe.train_per_second = static_cast<double>(trial.batch) / times[times.size() / 2];
}

}  // namespace

MachineProbe probe_machine(imgpack::FileSystem& fs, const RunConfig& config, std::chrono::seconds budget,
                           RunListener& listener) {
  const Clock::time_point start = Clock::now();
  const TrialGround ground(fs, config, listener);
  const double share = std::chrono::duration<double>(budget).count() / 3;
  MachineProbe probe;
  const MachineFacts facts = machine_facts(ground.device(), 0, 1);
  probe.device = facts.device;
  probe.cpu = facts.cpu;
  probe.cores = data::usable_cores();
  probe.images = ground.dataset().split(config.train_split).records();
  const auto stopped = [&] { return listener.take_request() == RunRequest::kStop; };
  if (!stopped()) probe_disk(ground, share, probe);
  if (!stopped()) probe_decoding(ground, share, probe);
  if (!stopped()) probe_training(ground, share, probe);
  probe.seconds = seconds_since(start);
  return probe;
}

}  // namespace imgtrain
