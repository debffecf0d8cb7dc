// Trains some steps as Trainer does and says everything about them, for tests/parity/test_recipes.py to do the same in
// Python: the batches as they were decoded, how they were mixed, the rates, the loss, and every gradient.
//
//   test_recipe_program CONFIG.json STEPS      (config: shards, init, batch, bn_group, …; precision fp64)
//
//   stdout, per step: one line of JSON, then images (uint8), labels (int64), gradients (double, in the order of
//   torchvision's named_parameters)
#include <boost/json/array.hpp>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "engine/train/compute_device.h"
#include "engine/train/model_setup.h"
#include "engine/train/run/image_size_schedule.h"
#include "engine/train/run/input_options.h"
#include "engine/train/run/json_text.h"
#include "engine/train/training_step.h"
#include "format/error.h"
#include "format/file.h"

namespace imgtrain {
namespace {

namespace json = boost::json;

void write_bytes(const torch::Tensor& tensor) {
  const torch::Tensor plain = tensor.detach().contiguous();
  std::fwrite(plain.const_data_ptr(), 1, plain.nbytes(), stdout);
}

json::array groups_of(const DeviceBatch& batch, const RunConfig& config, uint64_t step, int size) {
  json::array list;
  for (int64_t begin = 0; begin < batch.count; begin += config.bn_group) {
    const int64_t count = std::min(config.bn_group, batch.count - begin);
    const data::GroupMix mix =
        mix_group(mix_options(config), static_cast<uint32_t>(count), size, size, group_key(batch, begin, config, step));
    json::array partner;
    for (const uint32_t i : mix.partner) partner.push_back(uint64_t{i});
    list.push_back(json::object{{"kind", static_cast<int>(mix.kind)},
                                {"share", mix.share},
                                {"box", json::array{mix.box.x, mix.box.y, mix.box.width, mix.box.height}},
                                {"partner", std::move(partner)}});
  }
  return list;
}

int run(const std::string& path, uint64_t steps) {
  auto& fs = imgpack::posix_file_system();
  const ConfigLayer layers[] = {parse_config_file(path, imgpack::read_text(fs, path, 1 << 20))};
  const RunConfig config = resolve(layers).values;
  configure_compute(config, torch::kCPU);
  const imgpack::Dataset dataset = imgpack::Dataset::open(fs, config.shards);
  const data::PipelineOptions input = training_input(config, {});
  data::BatchPipeline pipeline(fs, dataset, input);
  const LrSchedule schedule(config, pipeline.batches_per_epoch());
  const ImageSizeSchedule sizes(config, schedule.steps_per_epoch(), schedule.total_steps());
  ResNet model = make_model(config, static_cast<int64_t>(dataset.manifest().classes.size()), torch::kCPU);
  load_initial_weights(fs, config, model);
  const auto sync = make_gradient_sync(Launch(), torch::kCPU);
  TrainingStep training(model, config, torch::kCPU, *sync);
  BatchFeed feed(pipeline, torch::kCPU);
  DeviceTotals totals(torch::kCPU);
  for (uint64_t step = 0; step < std::min(steps, schedule.total_steps()); ++step) {
    const uint64_t epoch = step / schedule.steps_per_epoch();
    if (step % schedule.steps_per_epoch() == 0) feed.start_epoch(epoch, 0, {sizes.decoded(epoch), 0});
    const DeviceBatch batch = feed.next().value();
    const StepPlan plan{schedule.at_step(step), step, sizes.trained(step)};
    totals.reset();
    training.run(batch, plan, totals);
    const json::object line{{"step", step},
                            {"epoch", epoch},
                            {"steps_per_epoch", schedule.steps_per_epoch()},
                            {"lr", plan.rates.lr},
                            {"momentum", plan.rates.momentum},
                            {"loss", totals.read().loss()},
                            {"count", batch.count},
                            {"size", batch.images.size(1)},
                            {"trained_size", plan.size},
                            {"groups", groups_of(batch, config, step, static_cast<int>(plan.size))}};
    std::printf("%s\n", compact_json(line).c_str());
    write_bytes(batch.images);
    write_bytes(batch.labels);
    for (const torch::Tensor& gradient : training.optimizer().gradients()) write_bytes(gradient);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace imgtrain

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: test_recipe_program CONFIG.json STEPS\n";
    return 2;
  }
  try {
    return imgtrain::run(argv[1], std::stoull(argv[2]));
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
