// Which residual network: the options that make one, and the shape of the family. No libtorch needed.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace imgtrain {

inline constexpr std::array<int, 5> kResNetDepths = {18, 34, 50, 101, 152};

enum class Stem {
  kPlain,  // One 7x7 convolution with stride 2.
  kDeep,   // Three 3x3 ones of 32, 32 and 64 channels, the first with stride 2 (ResNet-C and -D, arXiv 1812.01187).
};

// A blur (1 2 1) x (1 2 1) / 16 before pixels are left out (arXiv 1904.11486).
enum class BlurPool {
  kNone,
  kConvolutions,  // Before strided convolutions of 16 input channels or more (FFCV's rn50 configurations).
  kAll,           // And between the maximum and the stride of the max-pooling (Composer's BlurPool).
};

// Channels below the stem's are not blurred.
inline constexpr int64_t kMinBlurChannels = 16;

// What every batch norm adds to a variance; no option changes it.
inline constexpr double kBatchNormEps = 1e-5;

enum class WeightRule {
  kTorchvision,  // Kaiming-normal over the fan-out; norms 1 and 0; the classifier uniform.
  kComposer,     // Kaiming-normal over the fan-in, the classifier too, its bias -log(classes); norms uniform in [0, 1).
};

struct ResNetOptions {
  int depth = 50;  // One of kResNetDepths. Anything else: Error(kUsage).
  int64_t num_classes = 1000;
  Stem stem = Stem::kPlain;
  // Shortcuts that change the size average 2 x 2 pixels and then convolve with stride 1 (ResNet-D).
  bool average_downsample = false;
  BlurPool blurpool = BlurPool::kNone;
  WeightRule weight_rule = WeightRule::kTorchvision;
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

// Probability that each block drops its branch in training: from 0 at the first rising linearly to `last` (timm's
// rule).
std::vector<double> drop_path_rates(int depth, double last);

std::string model_name(const ResNetOptions& options);  // `resnet50`
// Throws Error(kUsage) for a name that is none, listing those that are.
int depth_of_model_name(const std::string& name);

}  // namespace imgtrain
