#include "engine/train/group_input.h"

#include <ATen/ops/upsample_nearest2d.h>

#include <vector>

#include "engine/train/fused_group_images.h"

namespace imgtrain {

using torch::Tensor;

namespace {

void blank_box(Tensor& images, int64_t index, const data::CropBox& box) {
  if (box.width <= 0 || box.height <= 0) return;
  images.select(0, index).narrow(1, box.y, box.height).narrow(2, box.x, box.width).zero_();
}

Tensor partners_on_device(const data::GroupMix& mix, torch::Device device) {
  const std::vector<int64_t> order(mix.partner.begin(), mix.partner.end());
  return torch::tensor(order, torch::kLong).to(device, /*non_blocking=*/true);
}

void mix_images(const data::GroupMix& mix, const Tensor& partner, Tensor& images) {
  if (mix.kind == data::GroupMix::Kind::kMixup) {
    images = images * mix.share + images.index_select(0, partner) * (1 - mix.share);
  } else if (mix.box.width > 0 && mix.box.height > 0) {
    const Tensor part = images.narrow(2, mix.box.y, mix.box.height).narrow(3, mix.box.x, mix.box.width);
    part.copy_(part.index_select(0, partner));
  }
}

// One-hot rows of the classes, mixed in the same shares as the images.
void mix_targets(const data::GroupMix& mix, const Tensor& partner, int64_t classes, GroupInput& group) {
  // Half a share of a class is not what half precision is for.
  const auto type = group.images.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat;
  const Tensor own = torch::one_hot(group.labels, classes).to(type);
  group.targets = own * mix.share + own.index_select(0, partner) * (1 - mix.share);
}

}  // namespace

void blank(Tensor& images, const data::BlankBoxes* boxes) {
  for (int64_t i = 0; i < images.size(0); ++i) {
    blank_box(images, i, boxes[i].cutout);
    blank_box(images, i, boxes[i].erase);
  }
}

Tensor shrink(const Tensor& images, int64_t size) {
  const double scale = static_cast<double>(size) / static_cast<double>(images.size(3));
  // The size is said: rounding down 176 * (30 / 176) would give 29.
  const int64_t sides[] = {size, size};
  return at::upsample_nearest2d(images, at::IntArrayRef(sides), scale, scale);
}

void apply_mix(const data::GroupMix& mix, int64_t classes, GroupInput& group) {
  if (mix.kind == data::GroupMix::Kind::kNone) return;
  const Tensor partner = partners_on_device(mix, group.labels.device());
  mix_images(mix, partner, group.images);
  mix_targets(mix, partner, classes, group);
}

data::MixOptions mix_options(const RunConfig& config) {
  return {config.mixup, config.cutmix, config.mix_probability, config.cutmix_share, config.mix_style};
}

data::GroupKey group_key(const DeviceBatch& batch, int64_t begin, const RunConfig& config, uint64_t step) {
  return {static_cast<uint64_t>(config.seed), step, static_cast<uint32_t>((batch.first + begin) / config.bn_group)};
}

GroupInput make_group_input(const DeviceBatch& batch, int64_t begin, int64_t count, const RunConfig& config,
                            PixelNormalizer& normalizer, uint32_t size, uint64_t step, int64_t classes,
                            kernels::GroupImagesLauncher fused) {
  const torch::NoGradGuard no_grad;
  GroupInput group;
  group.labels = batch.labels.narrow(0, begin, count);
  group.targets = group.labels;
  const Tensor bytes = batch.images.narrow(0, begin, count);
  const bool blanks = batch.blanks != nullptr && (config.erase > 0 || config.cutout > 0);
  const bool shrinks = size > 0 && size < bytes.size(2);
  const int64_t side = shrinks ? static_cast<int64_t>(size) : bytes.size(2);
  const data::GroupMix mix = mix_group(mix_options(config), static_cast<uint32_t>(count), static_cast<int>(side),
                                       static_cast<int>(side), group_key(batch, begin, config, step));
  if (fused != nullptr) {
    group.images =
        fused_group_images(fused, bytes, blanks ? batch.blanks + begin : nullptr, mix, side, config.precision);
    if (mix.kind != data::GroupMix::Kind::kNone)
      mix_targets(mix, partners_on_device(mix, group.labels.device()), classes, group);
    return group;
  }
  group.images = normalizer(bytes);
  if (blanks) blank(group.images, batch.blanks + begin);
  if (shrinks) group.images = shrink(group.images, size);
  apply_mix(mix, classes, group);
  return group;
}

}  // namespace imgtrain
