#include "engine/train/run/bottleneck.h"

#include <algorithm>
#include <cmath>

#include "engine/train/run/json_text.h"

namespace imgtrain {
namespace {

// Below this share of waiting the input side keeps up.
constexpr double kKeepsUp = 0.05;
// Above this share of copying, copies are what the device waits for.
constexpr double kCopiesLimit = 0.9;
// Repacking is worth a word from here on.
constexpr double kWorthwhile = 1.1;
// Above this share of images the slow decoder is worth a word. On ordinary photographs it takes less than 0.01.
constexpr double kManyReferences = 0.05;

std::string percent(double share) {
  return fixed_text(100 * share, 0) + " %";
}

std::string repacking(const EpochTiming& timing, bool bytes_count) {
  const double gain = bytes_count ? 1 / timing.repack.bytes : timing.repack.decode_speed;
  if (gain < kWorthwhile) return {};
  const std::string what = "; repacking with --resize-max 500 --reencode-probability 1 ";
  return bytes_count ? what + "needs about " + fixed_text(timing.repack.bytes, 2) + " of the bytes"
                     : what + "gives about " + fixed_text(gain, 1) + "x";
}

// What would give the decoders more: threads that are there, an entropy index, smaller images.
std::string decode_remedy(const EpochTiming& timing, double cores_needed) {
  std::string text;
  const double whole = std::ceil(cores_needed);
  if (timing.cores > timing.input_threads && whole <= timing.cores)
    text += "; --input-threads " + fixed_text(whole, 0) + " would do";
  const auto fast = static_cast<double>(timing.stages.fast_path);
  const auto reference = static_cast<double>(timing.stages.reference_path);
  if (reference > kManyReferences * (fast + reference))
    text += "; " + percent(reference / (fast + reference)) +
            " of the images have no entropy index or need the reference decoder: with an index they decode about 2.5x "
            "as fast";
  return text + repacking(timing, /*bytes_count=*/false);
}

}  // namespace

StageShares stage_shares(const EpochTiming& timing) {
  if (timing.seconds <= 0) return {};
  const auto share = [&](double seconds, double of) { return std::clamp(seconds / of, 0.0, 1.0); };
  const double threads = timing.seconds * std::max(1u, timing.input_threads);
  const data::StageSeconds& stages = timing.stages;
  return {share(stages.read, timing.seconds),
          share(stages.check, threads),
          share(stages.decode, threads),
          share(stages.augment, threads),
          share(stages.wait_for_batch, timing.seconds),
          share(timing.copy_seconds, timing.seconds)};
}

std::string bottleneck_sentence(const EpochTiming& timing) {
  if (timing.images == 0 || timing.seconds <= 0) return "nothing was measured";
  const StageShares shares = stage_shares(timing);
  const data::StageSeconds& stages = timing.stages;
  const std::string waited = "the model waited " + percent(shares.wait) + " of the time for images";
  // What the input side would cost if it were all there is, in cores at work at once.
  const auto images = static_cast<double>(timing.images);
  const double per_image = (stages.check + stages.augment + stages.decode) / images;
  const double compute_rate = images / std::max(timing.seconds * (1 - shares.wait), 1e-9);
  const double cores_needed = per_image * compute_rate;
  const std::string of_cores = std::to_string(timing.input_threads);
  if (shares.wait < kKeepsUp) {
    if (shares.copy > kCopiesLimit)
      return "copy-bound: copies to the device take " + percent(shares.copy) +
             " of the time; a smaller --train-size or a faster link to the device would lift it";
    return "compute-bound: " + waited + "; the input side used " + fixed_text(cores_needed, 1) + " of " + of_cores +
           " cores at " + fixed_text(1e3 * per_image, 2) + " ms an image and could feed " +
           fixed_text(cores_needed > 0 ? timing.input_threads / cores_needed : 1, 1) + "x the rate";
  }
  // Decoders that stood still for the disk point to the disk; otherwise there are too few of them.
  if (stages.wait_for_read > stages.wait_for_batch / 2) {
    const double mib = static_cast<double>(stages.bytes_read) / (1024 * 1024);
    return "read-bound: " + waited + "; " + fixed_text(mib / images * compute_rate, 0) +
           " MiB/s needed, the disk gave " + fixed_text(mib / timing.seconds, 0) +
           repacking(timing, /*bytes_count=*/true) +
           "; --cache-dir on a local disk reads them from there after the first epoch";
  }
  return "decode-bound: " + waited + "; " + fixed_text(cores_needed, 1) + " cores needed, " + of_cores + " present" +
         decode_remedy(timing, cores_needed);
}

std::string stage_report(const EpochTiming& timing) {
  const StageShares shares = stage_shares(timing);
  const data::StageSeconds& stages = timing.stages;
  std::string text = "read " + percent(shares.read) + ", check " + percent(shares.check) + ", decode " +
                     percent(shares.decode) + ", augment " + percent(shares.augment) + ", wait " +
                     percent(shares.wait) + ", copy " + percent(shares.copy) + "; " + std::to_string(stages.fast_path) +
                     " images by the fast path, " + std::to_string(stages.reference_path) + " by the reference";
  if (stages.left_out > 0) text += ", " + std::to_string(stages.left_out) + " damaged records left out";
  return text;
}

}  // namespace imgtrain
