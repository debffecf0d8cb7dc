// Which residual network: the options that make one, and the shape of the family. No libtorch needed.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace imgtrain {

inline constexpr std::array<int, 5> kResNetDepths = {18, 34, 50, 101, 152};

struct ResNetOptions {
  int depth = 50;  // One of kResNetDepths. Anything else: Error(kUsage).
  int64_t num_classes = 1000;
  bool zero_init_last_gamma = false;  // Last batch norm of every block starts at 0 (torchvision's zero_init_residual).
  // Initial weights follow from this alone: not from global random state, threads or device. Its low 32 bits count.
  uint64_t seed = 0;
};

// A stage is so many blocks of 64, 128, 256, 512 planes. A bottleneck block puts out four times its planes.
struct ResNetArchitecture {
  bool bottleneck = false;
  std::array<int, 4> blocks{};
  int expansion() const { return bottleneck ? 4 : 1; }
  bool operator==(const ResNetArchitecture&) const = default;
};

ResNetArchitecture resnet_architecture(int depth);  // Throws Error(kUsage) if there is none.

std::string model_name(const ResNetOptions& options);  // `resnet50`
// Throws Error(kUsage) for a name that is none, listing those that are.
int depth_of_model_name(const std::string& name);

}  // namespace imgtrain
