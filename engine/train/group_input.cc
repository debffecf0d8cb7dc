#include "engine/train/group_input.h"

#include <ATen/ops/upsample_nearest2d.h>

#include <vector>

namespace imgtrain {

using torch::Tensor;

namespace {

void blank_box(Tensor& images, int64_t index, const data::CropBox& box) {
  if (box.width <= 0 || box.height <= 0) return;
  images.select(0, index).narrow(1, box.y, box.height).narrow(2, box.x, box.width).zero_();
}

// Rows of `labels`' classes in the number type of the images.
Tensor one_hot_rows(const Tensor& labels, int64_t classes, const Tensor& images) {
  return torch::one_hot(labels, classes).to(images.scalar_type());
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
  const double scales[] = {scale, scale};
  return at::upsample_nearest2d(images, /*output_size=*/at::OptionalIntArrayRef(), at::ArrayRef<double>(scales));
}

void apply_mix(const data::GroupMix& mix, int64_t classes, GroupInput& group) {
  if (mix.kind == data::GroupMix::Kind::kNone) return;
  const std::vector<int64_t> order(mix.partner.begin(), mix.partner.end());
  const Tensor partner = torch::tensor(order, torch::kLong).to(group.labels.device(), /*non_blocking=*/true);
  if (mix.kind == data::GroupMix::Kind::kMixup) {
    group.images = group.images * mix.share + group.images.index_select(0, partner) * (1 - mix.share);
  } else if (mix.box.width > 0 && mix.box.height > 0) {
    const auto part = [&](const Tensor& images) {
      return images.narrow(2, mix.box.y, mix.box.height).narrow(3, mix.box.x, mix.box.width);
    };
    part(group.images).copy_(part(group.images).index_select(0, partner));
  }
  const Tensor own = one_hot_rows(group.labels, classes, group.images);
  group.targets = own * mix.share + own.index_select(0, partner) * (1 - mix.share);
}

data::MixOptions mix_options(const RunConfig& config) {
  return {config.mixup, config.cutmix, config.mix_probability, config.cutmix_share, config.mix_style};
}

data::GroupKey group_key(const DeviceBatch& batch, int64_t begin, const RunConfig& config, uint64_t step) {
  return {static_cast<uint64_t>(config.seed), step, static_cast<uint32_t>((batch.first + begin) / config.bn_group)};
}

GroupInput make_group_input(const DeviceBatch& batch, int64_t begin, int64_t count, const RunConfig& config,
                            PixelNormalizer& normalizer, uint32_t size, uint64_t step, int64_t classes) {
  const torch::NoGradGuard no_grad;
  GroupInput group;
  group.images = normalizer(batch.images.narrow(0, begin, count));
  group.labels = batch.labels.narrow(0, begin, count);
  group.targets = group.labels;
  if (batch.blanks != nullptr && (config.erase > 0 || config.cutout > 0)) blank(group.images, batch.blanks + begin);
  if (size > 0 && size < group.images.size(3)) group.images = shrink(group.images, size);
  const auto side = static_cast<int>(group.images.size(3));
  apply_mix(
      mix_group(mix_options(config), static_cast<uint32_t>(count), side, side, group_key(batch, begin, config, step)),
      classes, group);
  return group;
}

}  // namespace imgtrain
