#include "engine/train/fused_group_images.h"

#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "engine/model/device_stream.h"
#include "engine/model/fused_batch_norm.h"
#include "engine/model/portable/pixel_statistics.h"

namespace imgtrain {
namespace {

using torch::Tensor;

kernels::PixelBox pixel_box(const data::CropBox& box) {
  return {box.x, box.y, box.width, box.height};
}

// A few bytes of the host's on the device, behind what is queued there.
template <class T>
Tensor uploaded(const std::vector<T>& values, torch::Device device) {
  const auto bytes = static_cast<int64_t>(values.size() * sizeof(T));
  const Tensor host = torch::empty({bytes}, torch::kByte);
  std::memcpy(host.data_ptr(), values.data(), static_cast<size_t>(bytes));
  return host.to(device, /*non_blocking=*/true);
}

}  // namespace

kernels::GroupImagesLauncher group_images_launcher(const RunConfig& config, torch::Device device) {
#ifdef IMGTRAIN_WITH_CUDA_KERNELS
  if (config.fused && config.precision != Precision::kFp64 && device_fused_norm(device) != nullptr) {
    const std::string why = disagreement(kernels::launch_group_images, device);
    if (why.empty()) return kernels::launch_group_images;
    TORCH_WARN("the input kernel is left alone, libtorch's operations are slower and right: ", why);
  }
#endif
  (void)config;
  (void)device;
  return nullptr;
}

std::string disagreement(kernels::GroupImagesLauncher launcher, torch::Device device) {
  constexpr int64_t kCount = 3, kSide = 11;
  constexpr double kTolerance = 1e-5;
  const torch::NoGradGuard no_grad;
  try {
    const Tensor bytes = torch::arange(kCount * kSide * kSide * 3)
                             .mul(37)
                             .remainder(256)
                             .to(torch::kUInt8)
                             .view({kCount, kSide, kSide, 3})
                             .to(device);
    const Tensor expected = PixelNormalizer(device)(bytes);
    const Tensor found = fused_group_images(launcher, bytes, nullptr, {}, kSide, Precision::kFp32);
    const double error = ((found - expected).norm() / expected.norm()).item<double>();
    if (error <= kTolerance) return {};  // False for NaN.
    return "normalised images: expected libtorch's, found " + std::to_string(error) + " of it elsewhere";
  } catch (const std::exception& error) {
    return error.what();
  }
}

torch::Tensor fused_group_images(kernels::GroupImagesLauncher launcher, const Tensor& bytes,
                                 const data::BlankBoxes* blanks, const data::GroupMix& mix, int64_t side,
                                 Precision precision) {
  const c10::DeviceGuard on_device(bytes.device());
  const int64_t count = bytes.size(0);
  kernels::GroupImages a;
  a.count = static_cast<int32_t>(count);
  a.height = static_cast<int32_t>(bytes.size(1));
  a.width = static_cast<int32_t>(bytes.size(2));
  int64_t height = a.height, width = a.width;
  if (side < width) {
    // The step that torch's nearest interpolation takes for this factor.
    const double factor = static_cast<double>(side) / static_cast<double>(width);
    a.size = static_cast<int32_t>(side);
    a.step = static_cast<float>(1.0 / factor);
    height = width = side;
  }
  at::ScalarType type = at::kFloat;
  if (precision == Precision::kFp16) {
    a.type = kernels::NumberType::kHalf;
    type = at::kHalf;
  } else if (precision == Precision::kBf16) {
    a.type = kernels::NumberType::kBFloat16;
    type = at::kBFloat16;
  }
  for (size_t c = 0; c < 3; ++c) {
    a.scale[c] = static_cast<float>(1.0 / (255.0 * kPixelDeviation[c]));
    a.shift[c] = static_cast<float>(-kPixelMean[c] / kPixelDeviation[c]);
  }
  const Tensor contiguous = bytes.contiguous();
  a.bytes = contiguous.const_data_ptr<uint8_t>();
  Tensor boxes, partner;
  if (blanks != nullptr) {
    std::vector<kernels::BlankPair> pairs;
    for (int64_t i = 0; i < count; ++i) pairs.push_back({pixel_box(blanks[i].cutout), pixel_box(blanks[i].erase)});
    boxes = uploaded(pairs, bytes.device());
    a.blanks = static_cast<const kernels::BlankPair*>(boxes.const_data_ptr());
  }
  if (mix.kind != data::GroupMix::Kind::kNone) {
    partner = uploaded(std::vector<int32_t>(mix.partner.begin(), mix.partner.end()), bytes.device());
    a.partner = static_cast<const int32_t*>(partner.const_data_ptr());
    a.mixing = mix.kind == data::GroupMix::Kind::kMixup ? kernels::Mixing::kMixup : kernels::Mixing::kCutmix;
    a.share = static_cast<float>(mix.share);
    a.partner_share = static_cast<float>(1 - mix.share);
    a.box = pixel_box(mix.box);
  }
  const Tensor images = torch::empty({count, height, width, 3}, bytes.options().dtype(type));
  a.images = images.mutable_data_ptr();
  require_queued(launcher(a, current_stream(bytes.device())));
  return images.permute({0, 3, 1, 2});
}

}  // namespace imgtrain
