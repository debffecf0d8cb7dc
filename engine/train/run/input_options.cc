#include "engine/train/run/input_options.h"

#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

data::PipelineOptions shared_options(const RunConfig& config, const Share& share) {
  data::PipelineOptions options;
  options.filter = config.interpolation == Interpolation::kBilinear ? imgpack::jpeg::Filter::kBilinear
                                                                    : imgpack::jpeg::Filter::kBicubic;
  options.reference_decoder = config.decoder == DecoderChoice::kReference;
  options.threads = static_cast<uint32_t>(config.input_threads);
  options.slots = static_cast<uint32_t>(config.slots);
  options.rank = static_cast<uint32_t>(share.rank);
  options.world = static_cast<uint32_t>(share.world);
  options.numa_node = share.numa_node;
  options.cache = config.page_cache;
  options.local_copy = config.cache_dir;
  options.max_bad_records = static_cast<uint64_t>(config.max_bad_records);
  options.seed = static_cast<uint64_t>(config.seed);
  options.order.seed = static_cast<uint64_t>(config.seed);
  options.order.block_bytes = static_cast<uint64_t>(config.block_kib) << 10;
  return options;
}

}  // namespace

data::PipelineOptions training_input(const RunConfig& config, const Share& share) {
  data::PipelineOptions options = shared_options(config, share);
  options.split = config.train_split;
  options.transform = data::Transform::kTrain;
  options.size = static_cast<uint32_t>(config.train_size);
  options.crop = {config.crop_scale_min, config.crop_scale_max, config.crop_ratio_min, config.crop_ratio_max,
                  config.flip};
  options.random_filter = config.interpolation == Interpolation::kRandom;
  options.policy = data::parse_augment_policy(config.auto_augment);
  options.jitter = {config.jitter_brightness, config.jitter_contrast, config.jitter_saturation, config.jitter_hue};
  options.erasing = {config.erase, config.erase_scale_min, config.erase_scale_max, config.erase_ratio_min,
                     config.erase_ratio_max};
  options.cutout = config.cutout;
  options.bn_group = static_cast<uint32_t>(config.bn_group);
  options.order.batch = static_cast<uint32_t>(config.batch);
  options.order.drop_last = config.drop_last;
  options.order.repeats = static_cast<uint32_t>(config.repeats);
  options.order.partitions = static_cast<uint32_t>(config.partitions);
  options.order.window_blocks = static_cast<uint32_t>(config.window_blocks);
  return options;
}

data::PipelineOptions evaluation_input(const RunConfig& config, const std::string& split, const Share& share) {
  data::PipelineOptions options = shared_options(config, share);
  options.split = split;
  options.transform = data::Transform::kEvaluate;
  options.size = static_cast<uint32_t>(config.eval_size);
  options.resize_short = static_cast<uint32_t>(config.eval_resize);
  options.crop_ratio = config.eval_crop_ratio;
  options.order.batch = static_cast<uint32_t>(config.eval_batch);
  options.order.drop_last = false;
  options.order.shuffle = false;
  return options;
}

const imgpack::SplitView& require_labeled(const imgpack::Dataset& dataset, const std::string& split) {
  const imgpack::SplitView& view = dataset.split(split);
  if (view.records() == 0)
    throw Error(ErrorKind::kInvalidInput, "split '" + split + "' has no images", dataset.folder());
  if (!view.info.labeled) {
    throw Error(ErrorKind::kInvalidInput, "split '" + split + "' has no labels: there is nothing to compare with",
                dataset.folder());
  }
  return view;
}

std::vector<std::string> class_names(const imgpack::Dataset& dataset) {
  std::vector<std::string> names;
  for (const imgpack::ClassInfo& info : dataset.manifest().classes) names.push_back(info.wnid);
  return names;
}

}  // namespace imgtrain
