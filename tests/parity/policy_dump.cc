// Runs this project's augmentations for tests/parity/test_augment_policy.py and test_batch_mix.py, and prints the draws
// that they used, so that Python can replay them through torchvision and timm.
//
//   stdin, a line each; * is followed by WIDTH x HEIGHT x 3 bytes       stdout
//   policy TEXT RESAMPLE WIDTH HEIGHT SEED EPOCH ID *                    DRAWS…, a line; the bytes
//   jitter B C S H WIDTH HEIGHT SEED EPOCH ID *                          DRAWS…, a line; the bytes
//   blank SIZE PROBABILITY CUTOUT SEED EPOCH ID                          two boxes of X Y WIDTH HEIGHT, DRAWS…
//   mix STYLE MIXUP CUTMIX PROBABILITY SHARE IMAGES SIZE SEED STEP GROUP KIND SHARE X Y WIDTH HEIGHT PARTNERS… | DRAWS…
//   sizes FROM TO BEGIN END MULTIPLE BY STEPS_PER_EPOCH STEPS            the size of every step
//   square WIDTH HEIGHT RATIO                                            X Y WIDTH HEIGHT
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "engine/data/augment_policy.h"
#include "engine/data/batch_mix.h"
#include "engine/data/erase_box.h"
#include "engine/data/random_key.h"
#include "engine/train/run/image_size_schedule.h"

namespace {

using namespace imgtrain;
using namespace imgtrain::data;

constexpr int kDrawsShown = 96;

template <typename T>
T word() {
  T value{};
  std::cin >> value;
  return value;
}

SampleKey sample_key() {
  SampleKey key;
  std::cin >> key.seed >> key.epoch >> key.sample_id;
  return key;
}

std::vector<uint8_t> pixels(int width, int height) {
  std::cin.ignore();  // The end of the line.
  std::vector<uint8_t> bytes(RgbImage{nullptr, width, height}.bytes());
  std::cin.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

void show_draws(KeyedRandom random, int count = kDrawsShown) {
  for (int i = 0; i < count; ++i) std::printf(" %.17g", random.uniform());
  std::printf("\n");
}

void show(const CropBox& box) {
  std::printf("%d %d %d %d ", box.x, box.y, box.width, box.height);
}

void run_policy() {
  const AugmentPolicy policy = parse_augment_policy(word<std::string>());
  const auto name = word<std::string>();
  const Resample resample = name == "nearest"    ? Resample::kNearest
                            : name == "bilinear" ? Resample::kBilinear
                                                 : Resample::kBicubic;
  const int width = word<int>(), height = word<int>();
  const SampleKey key = sample_key();
  std::vector<uint8_t> bytes = pixels(width, height);
  KeyedRandom random(key.seed, Purpose::kPolicy, key.epoch, key.sample_id, key.repeat);
  show_draws(random);
  Scratch scratch;
  for (const PolicyStep& step : choose_steps(policy, width, height, [&] { return random.uniform(); }))
    apply_step(step, {bytes.data(), width, height}, resample, policy_fill(policy), scratch);
  std::fwrite(bytes.data(), 1, bytes.size(), stdout);
}

void run_jitter() {
  ColourJitter jitter;
  std::cin >> jitter.brightness >> jitter.contrast >> jitter.saturation >> jitter.hue;
  const int width = word<int>(), height = word<int>();
  const SampleKey key = sample_key();
  std::vector<uint8_t> bytes = pixels(width, height);
  KeyedRandom random(key.seed, Purpose::kColour, key.epoch, key.sample_id, key.repeat);
  show_draws(random);
  apply_colour_jitter(jitter, {bytes.data(), width, height}, [&] { return random.uniform(); });
  std::fwrite(bytes.data(), 1, bytes.size(), stdout);
}

void run_blank() {
  const int size = word<int>();
  RandomErasingOptions erasing;
  erasing.probability = word<double>();
  const auto cutout = word<double>();
  const SampleKey key = sample_key();
  const BlankBoxes boxes = blank_boxes(size, erasing, cutout, key);
  show(boxes.cutout);
  show(boxes.erase);
  show_draws(KeyedRandom(key.seed, Purpose::kErase, key.epoch, key.sample_id, key.repeat));
}

void run_mix() {
  MixOptions options;
  const auto style = word<std::string>();
  options.style = style == "timm"          ? MixStyle::kTimm
                  : style == "torchvision" ? MixStyle::kTorchvision
                                           : MixStyle::kComposer;
  std::cin >> options.mixup_alpha >> options.cutmix_alpha >> options.probability >> options.cutmix_share;
  const auto images = word<uint32_t>();
  const int size = word<int>();
  GroupKey key;
  std::cin >> key.seed >> key.step >> key.group;
  const GroupMix mix = mix_group(options, images, size, size, key);
  std::printf("%d %.17g ", static_cast<int>(mix.kind), mix.share);
  show(mix.box);
  for (const uint32_t partner : mix.partner) std::printf("%u ", partner);
  std::printf("|");
  show_draws(KeyedRandom(key.seed, Purpose::kMixup, key.step, 0, key.group));
}

void run_sizes() {
  RunConfig config;
  std::cin >> config.progressive_size >> config.train_size >> config.progressive_begin >> config.progressive_end >>
      config.progressive_multiple;
  config.progressive_by = word<std::string>() == "decode" ? Progression::kDecode : Progression::kShrink;
  const auto per_epoch = word<uint64_t>(), steps = word<uint64_t>();
  const ImageSizeSchedule sizes(config, per_epoch, steps);
  for (uint64_t step = 0; step < steps; ++step) std::printf("%u ", sizes.trained(step));
  std::printf("\n");
}

void run_square() {
  const auto width = word<uint32_t>(), height = word<uint32_t>();
  const auto window = center_square(width, height, word<double>());
  std::printf("%d %d %d %d\n", window.use_x, window.use_y, window.use_width, window.use_height);
}

}  // namespace

int main() {
  for (std::string kind; std::cin >> kind;) {
    if (kind == "policy") run_policy();
    if (kind == "jitter") run_jitter();
    if (kind == "blank") run_blank();
    if (kind == "mix") run_mix();
    if (kind == "sizes") run_sizes();
    if (kind == "square") run_square();
  }
  return 0;
}
