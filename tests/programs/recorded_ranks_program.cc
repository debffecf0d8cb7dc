// One of several ranks whose steps are recorded, for tests/unit/train/recorded_ranks_test.cc: trains a ResNet-18 in
// double precision on made-up data, of which this rank takes its share.
//
//   test_recorded_ranks_program --out O --counts 11,11,3,… [--group N] [--size N] [--world-bn] [--cuda] [--plain]
//                               [--refuse R] [--wrong R] [--left-out R] [--die R]
//     --counts    images of each step, of all ranks together
//     --group     images of a batch norm group
//     --size      pixels a side
//     --world-bn  batch norm over the ranks
//     --cuda      every rank on a GPU of its own, over NCCL, and CUDA graphs for recordings
//     --plain     nothing is recorded
//     --refuse    what this rank wants to record is refused
//     --wrong     what this rank records does something else
//     --left-out  from step 10 on this rank has an image less, as if records were damaged
//     --die       this rank is killed before step 10
#include <unistd.h>

#include <boost/program_options.hpp>
#include <csignal>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "engine/data/sample_order.h"
#include "engine/model/weights.h"
#include "engine/train/training_step.h"
#include "format/file.h"
#include "tests/support/rerun_recorder.h"

namespace imgtrain {
namespace {

namespace po = boost::program_options;
using torch::Tensor;

constexpr int64_t kClasses = 10;
constexpr uint64_t kSpecialStep = 10;

// A recording after which one weight is elsewhere.
class WrongRecorder : public StepRecorder {
 public:
  explicit WrongRecorder(Tensor weight) : weight_(std::move(weight)) {}
  std::unique_ptr<StepRecording> record(const std::function<void()>& work) override {
    return std::make_unique<Rerun>([work, weight = weight_]() mutable {
      const torch::NoGradGuard no_grad;
      work();
      weight.add_(1.0);
    });
  }

 private:
  Tensor weight_;
};

// The share of this rank of batch number `step`.
DeviceBatch share_of(const Launch& launch, const RunConfig& config, int64_t size, int64_t count, uint64_t step) {
  auto generator = at::detail::createCPUGenerator(100 + step);
  const Tensor images = torch::randint(256, {count, size, size, 3}, generator, torch::kLong).to(torch::kUInt8);
  const Tensor labels = torch::randint(kClasses, {count}, generator, torch::kLong);
  const data::LocalRange range =
      data::local_range(static_cast<uint32_t>(count), static_cast<uint32_t>(config.bn_group),
                        static_cast<uint32_t>(launch.rank), static_cast<uint32_t>(launch.world));
  DeviceBatch batch;
  batch.first = range.begin;
  batch.count = range.end - range.begin;
  batch.global_count = count;
  batch.images = images.narrow(0, batch.first, batch.count);
  batch.labels = labels.narrow(0, batch.first, batch.count);
  return batch;
}

int run(int argc, char** argv) {
  std::string out, counts;
  RunConfig config;
  uint32_t size = 32;
  int refuse = -1, wrong = -1, left_out = -1, die = -1;
  po::options_description options;
  auto add = options.add_options();
  add("out", po::value(&out)->required());
  add("counts", po::value(&counts)->required());
  add("group", po::value(&config.bn_group)->default_value(4));
  add("size", po::value(&size));
  add("world-bn", "");
  add("cuda", "");
  add("plain", "");
  add("refuse", po::value(&refuse));
  add("wrong", po::value(&wrong));
  add("left-out", po::value(&left_out));
  add("die", po::value(&die));
  po::variables_map given;
  po::store(po::parse_command_line(argc, argv, options), given);
  po::notify(given);

  config.depth = 18;
  config.batch = 16;
  config.precision = Precision::kFp64;
  config.cuda_graphs = !given.contains("plain");
  config.sync_bn = given.contains("world-bn");
  const Launch launch = launch_from_environment();
  GradientSyncOptions sync_options;
  sync_options.timeout = std::chrono::seconds(60);
  const bool cuda = given.contains("cuda");
  const torch::Device device =
      cuda ? torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(launch.rank)) : torch::Device(torch::kCPU);
  const auto sync = make_gradient_sync(launch, device, sync_options);
  ResNet model(ResNetOptions{.depth = 18, .num_classes = kClasses, .seed = 1});
  to_double(*model);
  model->to(device);
  to_channels_last(*model);

  // On CUDA the device's own.
  std::unique_ptr<StepRecorder> recorder = cuda ? nullptr : std::make_unique<RerunRecorder>();
  if (launch.rank == refuse) recorder = std::make_unique<RefusingRecorder>();
  if (launch.rank == wrong) recorder = std::make_unique<WrongRecorder>(model->parameters().front());
  TrainingStep step(model, config, device, *sync, std::move(recorder));
  DeviceTotals totals(device);
  std::istringstream list(counts);
  uint64_t done = 0;
  for (std::string count; std::getline(list, count, ','); ++done) {
    DeviceBatch batch = share_of(launch, config, size, std::stoll(count), done);
    if (done == kSpecialStep && launch.rank == die) ::kill(::getpid(), SIGKILL);
    if (done >= kSpecialStep && launch.rank == left_out) {
      --batch.count;
      batch.images = batch.images.narrow(0, 0, batch.count);
      batch.labels = batch.labels.narrow(0, 0, batch.count);
    }
    batch.images = batch.images.to(device);
    batch.labels = batch.labels.to(device);
    // Rates that floats hold exactly, another in each step.
    StepPlan plan = {{1.0 / static_cast<double>(64 << (done % 4)), 0.9}, done, size};
    step.run(batch, plan, totals);
  }
  sync->all_reduce_sum(totals.sums());
  NamedTensors tensors = state_dict(*model);
  for (const auto& entry : step.optimizer().state()) tensors.push_back(entry);
  tensors.emplace_back("totals", totals.sums().clone());
  for (auto& [name, tensor] : tensors) tensor = tensor.cpu();
  std::map<std::string, std::string> facts = {{"bytes_per_step", std::to_string(sync->bytes_per_step())}};
  if (step.recorded() != nullptr) {
    facts["replayed"] = std::to_string(step.recorded()->replayed());
    facts["refusal"] = step.recorded()->refusal();
  }
  write_tensors(imgpack::posix_file_system(), out + "." + std::to_string(launch.rank), tensors, facts);
  sync->finish_run();
  return 0;
}

}  // namespace
}  // namespace imgtrain

int main(int argc, char** argv) {
  try {
    return imgtrain::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
