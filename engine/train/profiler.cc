#include <sys/resource.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "engine/model/fused_batch_norm.h"
#include "engine/model/norm_choice.h"
#include "engine/model/portable/resnet_options.h"
#include "engine/train/compute_device.h"
#include "engine/train/device_memory.h"
#include "engine/train/layer_times.h"
#include "engine/train/model_setup.h"
#include "engine/train/run/run_config_fields.h"
#include "engine/train/step_trace.h"
#include "engine/train/training_step.h"
#include "engine/train/trial.h"
#include "engine/train/trial_ground.h"

#ifdef IMGTRAIN_WITH_CUDA
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace imgtrain {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void wait_for(torch::Device device) {
#ifdef IMGTRAIN_WITH_CUDA
  if (device.is_cuda()) c10::cuda::device_synchronize();
#endif
  (void)device;
}

double cpu_seconds() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

at::ScalarType number_type(Precision precision) {
  switch (precision) {
    case Precision::kFp64:
      return at::kDouble;
    case Precision::kBf16:
      return at::kBFloat16;
    case Precision::kFp16:
      return at::kHalf;
    case Precision::kFp32:
      break;
  }
  return at::kFloat;
}

// The median of a few runs, each long enough for a clock.
template <class Function>
double typical_seconds(torch::Device device, int repeats, const Function& work) {
  work();
  std::vector<double> seconds;
  for (int round = 0; round < 5; ++round) {
    wait_for(device);
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < repeats; ++i) work();
    wait_for(device);
    seconds.push_back(seconds_since(start) / repeats);
  }
  return spread_of(seconds).median;
}

Roofline measure_roofline(torch::Device device, Precision precision) {
  const torch::NoGradGuard no_grad;
  const bool cuda = device.is_cuda();
  // Larger than any cache.
  const int64_t bytes = cuda ? int64_t{1} << 30 : int64_t{128} << 20;
  const int64_t side = cuda ? 8192 : 768;
  const int repeats = cuda ? 10 : 2;
  Roofline roofline;
  {
    const torch::Tensor from = torch::zeros({bytes}, torch::dtype(torch::kByte).device(device));
    torch::Tensor to = torch::empty_like(from);
    const double seconds = typical_seconds(device, repeats, [&] { to.copy_(from); });
    roofline.bytes_per_second = 2 * static_cast<double>(bytes) / seconds;
  }
  const auto options = torch::dtype(number_type(precision)).device(device);
  const torch::Tensor a = torch::ones({side, side}, options), b = torch::ones({side, side}, options);
  torch::Tensor product = torch::empty({side, side}, options);
  const double seconds = typical_seconds(device, repeats, [&] { torch::mm_out(product, a, b); });
  roofline.flops_per_second = 2 * std::pow(static_cast<double>(side), 3) / seconds;
  return roofline;
}

// As --precision names it.
const char* precision_of(at::ScalarType type) {
  return type == at::kHalf ? "fp16" : type == at::kBFloat16 ? "bf16" : "fp32";
}

// What training on the device has chosen from so far.
std::vector<KernelChoice> kernel_choices(torch::Device device) {
  std::vector<KernelChoice> choices;
  const auto norm = std::dynamic_pointer_cast<const NormChoice>(device_fused_norm(device));
  if (norm == nullptr) return choices;
  for (const NormChoice::Trial& trial : norm->trials()) {
    KernelChoice choice;
    choice.kind = std::string("batch norm") + (trial.shape.adds ? " + add" : "") + (trial.shape.relu ? " + ReLU" : "");
    choice.type = precision_of(trial.shape.type);
    choice.rows = trial.shape.rows;
    choice.channels = trial.shape.channels;
    for (size_t i = 0; i < trial.seconds.size(); ++i)
      choice.tried.push_back({norm->candidates()[i].name, trial.seconds[i]});
    choice.chosen = trial.chosen;
    choices.push_back(std::move(choice));
  }
  return choices;
}

// Batches of shards, or one on the device again and again.
class Batches {
 public:
  Batches(const TrialGround* ground, const RunConfig& config, int64_t classes, torch::Device device) {
    if (ground != nullptr) {
      real_ = std::make_unique<TrialBatches>(*ground);
    } else {
      made_up_ = made_up_batch(config.batch, config.train_size, classes, device);
    }
  }
  DeviceBatch next() { return real_ ? real_->next() : made_up_; }
  void prefetch() {
    if (real_) real_->prefetch();
  }

 private:
  std::unique_ptr<TrialBatches> real_;
  DeviceBatch made_up_;
};

}  // namespace

std::optional<StepProfile> profile_step(imgpack::FileSystem& fs, const RunConfig& config, const ProfileOptions& options,
                                        RunListener& listener) {
  std::unique_ptr<TrialGround> ground;
  if (!config.shards.empty()) ground = std::make_unique<TrialGround>(fs, config, listener);
  const torch::Device device = ground ? ground->device() : choose_device(config);
  const int64_t threads = ground ? 0 : configure_compute(config, device);
  const std::unique_ptr<GradientSync> alone = ground ? nullptr : make_gradient_sync(Launch(), device);
  GradientSync& sync = ground ? ground->sync() : *alone;
  const auto classes = ground ? static_cast<int64_t>(ground->dataset().manifest().classes.size()) : options.classes;
  const auto stopped = [&] { return listener.take_request() == RunRequest::kStop; };

  StepProfile profile;
  profile.device = machine_facts(device, threads, 1).device;
  if (device.is_cpu()) profile.device = machine_facts(device, threads, 1).cpu;
  profile.model = "resnet" + std::to_string(config.depth);
  profile.precision = find_field("precision")->get(config).as_string().c_str();
  profile.batch = config.batch;
  profile.group = config.bn_group;
  profile.size = config.train_size;
  profile.rounds = options.rounds;
  profile.steps = options.steps > 0 ? options.steps : (device.is_cuda() ? 20 : 1);
  profile.real_input = ground != nullptr;

  forget_peak_memory(device);
  ResNet model = make_model(config, classes, device);
  TrainingStep step(model, config, device, sync);
  DeviceTotals totals(device);
  Batches batches(ground.get(), ground ? ground->config() : config, classes, device);
  const auto run_step = [&] {
    step.run(batches.next(), {1e-3, config.momentum}, totals);
    batches.prefetch();
  };

  listener.note("warming up");
  for (int i = 0; i < (device.is_cuda() ? 5 : 1); ++i) run_step();
  totals.read();  // Waits for the device.

  std::vector<double> seconds, rates;
  double wall = 0;
  const double cpu_before = cpu_seconds();
  for (int64_t round = 0; round < options.rounds; ++round) {
    if (stopped()) return std::nullopt;
    const Clock::time_point start = Clock::now();
    for (int64_t i = 0; i < profile.steps; ++i) run_step();
    totals.read();
    const double passed = seconds_since(start);
    wall += passed;
    seconds.push_back(passed / static_cast<double>(profile.steps));
    rates.push_back(static_cast<double>(config.batch) / seconds.back());
    listener.note("round " + std::to_string(round + 1) + " of " + std::to_string(options.rounds));
  }
  profile.cores_used = (cpu_seconds() - cpu_before) / wall;
  profile.step_seconds = spread_of(seconds);
  profile.images_per_second = spread_of(rates);
  profile.peak_bytes = peak_memory(device);

  LayerTimes times(*model, device);
  step.clock().finish();
  while (step.clock().take()) continue;
  std::vector<double> whole, exchange, optimizer;
  for (int64_t i = 0; i < options.observed; ++i) {
    if (stopped()) return std::nullopt;
    times.begin_step();
    run_step();
    times.end_step();
    step.clock().finish();
    const DeviceTimes stages = step.clock().take().value();
    whole.push_back(stages.forward_backward + stages.exchange + stages.optimizer);
    exchange.push_back(stages.exchange);
    optimizer.push_back(stages.optimizer);
  }
  profile.layers = times.layers();
  profile.fused = times.fused();
  if (config.fused) profile.choices = kernel_choices(device);
  profile.cuda_graphs = step.recorded() != nullptr && step.recorded()->replayed() > 0;
  profile.observed_seconds = spread_of(whole).median;
  profile.exchange_seconds = spread_of(exchange).median;
  profile.optimizer_seconds = spread_of(optimizer).median;

  if (!config.trace.empty()) {
    StepTrace trace(device);
    times.begin_step();
    run_step();
    times.end_step();
    trace.save(fs, config.trace);
    listener.say("the trace of a step: " + config.trace);
  }
  listener.note("measuring the roofline");
  profile.roofline = measure_roofline(device, config.precision);
  return profile;
}

}  // namespace imgtrain
