// What a training would take and cost: on this machine, from a short probe of it, and on machines that can be rented,
// from an offline table of their throughputs (estimates, each with its source) and of their prices.
//
//   per image: read bytes -> decode (cores) -> compute (devices)       the slowest of the three sets the pace
//   hours = images of all epochs / pace, the first epoch at the storage's pace, later ones from memory where they fit
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/train/run/run_config.h"

namespace imgtrain {

// What probe_machine() found out. A rate of 0: not measured.
struct MachineProbe {
  std::string device;  // `cpu`, or the GPU's name.
  std::string cpu;
  int64_t cores = 1;
  double read_mib_s = 0;
  bool past_cache = false;       // Whether reads went to the disk itself.
  double decode_per_core = 0;    // Images a second and core, at the configuration's size.
  double train_per_second = 0;   // Images a second, forward, backward and optimizer.
  uint64_t images = 0;           // In the training split.
  uint64_t bytes_per_image = 0;  // Of shard, on average.
  double seconds = 0;            // That the probe took.
};

// A machine to rent.
struct InstanceType {
  std::string name;  // `g5.12xlarge`
  int gpus = 0;
  std::string gpu;  // `A10G`
  int vcpus = 0;
  int ram_gib = 0;
  double images_per_second = 0;  // ResNet-50 at 224 px, all GPUs together, mixed precision, channels last.
  std::string source;            // Of that figure.
};
const std::vector<InstanceType>& instance_types();

// Lines `key<tab>name<tab>region<tab>dollars…` as scripts/aws/prices.tsv has them; others are passed over.
struct InstancePrice {
  std::optional<double> on_demand, spot;  // Dollars an hour; spot: the cheapest region of the table.
  std::string spot_region;
};
InstancePrice price_of(std::string_view table, const std::string& instance);
std::string_view embedded_prices();

// Work of a recipe, in images of 224 px that a ResNet-50 trains on: sizes count by area, models by multiplications.
// Sizes that grow over training count by their mean.
struct TrainingWork {
  double epochs = 0;
  double share_of_full = 1;     // Compute per image, relative to ResNet-50 at 224 px.
  double share_of_largest = 1;  // The same, relative to an image of train_size, which is what a probe trains on.
};
TrainingWork work_of(const RunConfig& config, uint64_t batches_per_epoch);

struct Estimate {
  std::string machine;
  double hours = 0;
  std::optional<double> dollars_spot, dollars_on_demand;
  std::string spot_region;
  double compute = 0, decode = 0, read = 0;  // Images a second that each stage could do.
  std::string limit;                         // `compute`, `decode` or `read`: the slowest, after the first epoch.
  std::string lift;                          // What would change it.
  bool measured = false;                     // This machine. All others are estimates.
};

struct EstimateOptions {
  double storage_mib_s = 1000;  // Of a rented machine's volume: what gp3 can be provisioned to.
  double decode_per_vcpu = 0;   // 0: what the probe measured per core; without that FFCV's 326.
  double overhead = 1.05;       // Evaluation, start of epochs, checkpoints.
};

Estimate estimate_here(const TrainingWork& work, const MachineProbe& probe, const EstimateOptions& options);
Estimate estimate_for(const InstanceType& type, const InstancePrice& price, const TrainingWork& work,
                      const MachineProbe& probe, const EstimateOptions& options);

boost::json::object to_json(const Estimate& estimate);
boost::json::object to_json(const MachineProbe& probe);
std::string estimate_table(const std::vector<Estimate>& estimates);

}  // namespace imgtrain
