// StepProfile: where one training step spends its time, layer by layer, and how near that is to what the device can do.
//
//   seconds (measured) + bytes, FLOPs (from shapes) + roofline (a copy and a multiplication, measured beside it)
//     --> per layer, per kind: GB/s, TFLOP/s, share of what the roofline allows --> table, JSON
//
// Bytes are those that the layer's kernels have to move: every operand read once and every result written once by each
// kernel that libtorch or this program runs for it (batch norm reads its input twice). Caches may spare some of them,
// so that a small layer can seem faster than memory. No torch in here.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace imgtrain {

struct LayerWork {
  double seconds = 0;  // Median over the observed steps.
  double bytes = 0;
  double flops = 0;  // Two for each multiply-add.
};

struct ProfiledLayer {
  std::string name;   // `layer1.0.conv1`
  std::string kind;   // `convolution 3x3`, `batch norm + ReLU`, …: layers of one kind run the same kernels.
  std::string shape;  // Of its output: `64x56x56`.
  int64_t calls = 1;  // In one step.
  LayerWork forward, backward;
};

// What the device was measured to do, as a copy within its memory and as a large multiplication of matrices.
struct Roofline {
  double bytes_per_second = 0;  // Read and written together.
  double flops_per_second = 0;  // In the step's number type.
  // The least time that some work can take.
  double seconds(const LayerWork& work) const;
};

struct Spread {
  double median = 0, least = 0, most = 0;
};
Spread spread_of(std::vector<double> values);  // REQUIRES: not empty.

// Kernels that were tried for one kind of feature map, and the ones that steps use since.
struct KernelChoice {
  struct Tried {
    std::string name;
    std::optional<double> seconds;  // Forward and backward together; nullopt: not for such a map.
  };
  std::string kind;  // `batch norm + add + ReLU`
  std::string type;  // `fp16`
  int64_t rows = 0, channels = 0;
  std::vector<Tried> tried;
  size_t chosen = 0;  // Of `tried`.
};

struct StepProfile {
  std::string device, model, precision;
  bool fused = false;        // Whether this program's own kernels ran.
  bool cuda_graphs = false;  // Whether steps were replayed, those that nobody observed.
  int64_t batch = 0, group = 0, size = 0;
  int64_t rounds = 0, steps = 0;  // Timed rounds of so many steps each.
  Spread step_seconds;            // Of steps that nobody observed.
  Spread images_per_second;
  double cores_used = 0;    // Of the CPU, by the whole process, during those.
  bool real_input = false;  // Batches came from shards, not from the device's memory.
  uint64_t peak_bytes = 0;  // Of the device's memory, or of the process on a CPU.
  Roofline roofline;
  double observed_seconds = 0;  // Of a step with a clock at every layer: longer, since layers wait for their clocks.
  std::vector<ProfiledLayer> layers;
  std::vector<KernelChoice> choices;  // Empty: there was nothing to choose from.
  double exchange_seconds = 0, optimizer_seconds = 0;
  // Of an observed step, what no layer accounts for: autograd, sums of gradients where paths join, launching.
  double other_seconds() const;
};

// One row for every kind of layer, the most expensive first.
std::vector<ProfiledLayer> by_kind(const std::vector<ProfiledLayer>& layers);

std::string to_text(const StepProfile& profile);
boost::json::object to_json(const StepProfile& profile);

}  // namespace imgtrain
