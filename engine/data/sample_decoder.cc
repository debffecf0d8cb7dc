#include "engine/data/sample_decoder.h"

#include <cinttypes>
#include <cstdio>

#include "engine/data/random_key.h"
#include "format/error.h"
#include "format/record.h"
#include "format/shard_reader.h"

namespace imgtrain::data {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

std::string hex(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, value);
  return text;
}

// The file that a block came from; `otherwise` where it never got as far as a file.
std::filesystem::path path_of(const LoadedBlock& block, const std::filesystem::path& otherwise) {
  return block.path().empty() ? otherwise : block.path();
}

}  // namespace

SampleDecoder::SampleDecoder(const imgpack::Dataset& dataset, const PipelineOptions& options, SampleStages& stages)
    : dataset_(dataset),
      split_(dataset.split(options.split)),
      options_(options),
      stages_(stages),
      decoder_(imgpack::jpeg::make_decoder(
          {options.reference_decoder ? imgpack::jpeg::DecoderKind::kReference : imgpack::jpeg::DecoderKind::kFast})) {}

imgpack::jpeg::DecodePath SampleDecoder::decode(const PlannedSample& sample, uint64_t epoch, uint32_t size,
                                                uint8_t* rgb, int64_t& label, uint64_t& id, BlankBoxes& blanks) {
  const uint64_t record = sample.record;
  std::string name;
  try {
    const auto path = decode_record(sample, epoch, size, rgb, name);
    label = split_.columns.label[record];
    id = split_.columns.id[record];
    blanks = {};
    if (options_.transform == Transform::kTrain) {
      blanks = blank_boxes(static_cast<int>(size), options_.erasing, options_.cutout,
                           {options_.seed, epoch, id, sample.repeat});
    }
    return path;
  } catch (const Error& error) {
    // A decoder knows neither file nor sample, the disk no sample: say all of it.
    if (error.kind() == ErrorKind::kInterrupted) throw;
    if (name.empty() && record < split_.columns.names.size()) name = split_.columns.names[record];
    if (name.empty()) name = "id " + hex(split_.columns.id[record]);
    const bool placed = !error.path().empty();
    const std::filesystem::path source = dataset_.shard_path(split_.info.name, split_.shard[record]);
    const std::filesystem::path path = placed ? error.path() : path_of(*sample.block->loaded, source);
    std::string hint = error.hint().empty() ? "imgpack verify " + dataset_.folder().string() : error.hint();
    if (path != source) hint = "delete this local copy: the next start makes it again from " + source.string();
    throw Error(error.kind(),
                error.message() + " (sample " + name + ", record " + std::to_string(record) + " of split " +
                    split_.info.name + ")",
                path, placed ? error.offset() : split_.offset[record], hint);
  }
}

imgpack::jpeg::DecodePath SampleDecoder::decode_record(const PlannedSample& sample, uint64_t epoch, uint32_t size,
                                                       uint8_t* rgb, std::string& name) {
  const LoadedBlock& block = *sample.block->loaded;
  if (block.status() == BlockStatus::kFailed) std::rethrow_exception(block.error());

  const imgpack::IndexColumns& columns = split_.columns;
  const uint64_t record = sample.record;
  const auto path = path_of(block, dataset_.shard_path(split_.info.name, split_.shard[record]));
  const auto bytes = block.bytes(sample.block->at[record - sample.block->first_record], columns.record_bytes[record]);
  imgpack::RecordView view;
  {
    const Stopwatch::Lap lap(stages_.check);
    view = imgpack::parse_record(bytes, path, split_.offset[record]);
    name = view.meta.name;
    imgpack::check_against_index(view, columns, record, path, split_.offset[record]);
  }

  const uint32_t width = view.meta.width, height = view.meta.height;
  const int side = static_cast<int>(size);
  const auto pixels = [&](const imgpack::jpeg::SampleWindow& window, imgpack::jpeg::Filter filter) {
    return decoder_->decode(view.image(), view.entropy_index(), window, side, side, filter, rgb);
  };
  if (options_.transform == Transform::kEvaluate) {
    imgpack::jpeg::SampleWindow window;
    {
      const Stopwatch::Lap lap(stages_.augment);
      window = options_.crop_ratio > 0 ? center_square(width, height, options_.crop_ratio)
                                       : resize_center_crop(width, height, options_.resize_short, size);
    }
    return pixels(window, options_.filter);
  }
  const SampleKey key{options_.seed, epoch, view.meta.id, sample.repeat};
  imgpack::jpeg::Filter filter = options_.filter;
  imgpack::jpeg::SampleWindow window;
  {
    const Stopwatch::Lap lap(stages_.augment);
    if (options_.random_filter) {
      KeyedRandom random(key.seed, Purpose::kFilter, key.epoch, key.sample_id, key.repeat);
      filter = random.below(2) == 0 ? imgpack::jpeg::Filter::kBilinear : imgpack::jpeg::Filter::kBicubic;
    }
    window = random_resized_crop(width, height, options_.crop, key);
  }
  const auto decoded_by = pixels(window, filter);
  const Stopwatch::Lap lap(stages_.augment);
  augment(key, filter, {rgb, side, side});
  return decoded_by;
}

void SampleDecoder::augment(const SampleKey& key, imgpack::jpeg::Filter filter, const RgbImage& image) {
  if (options_.jitter.active()) {
    KeyedRandom random(key.seed, Purpose::kColour, key.epoch, key.sample_id, key.repeat);
    apply_colour_jitter(options_.jitter, image, [&] { return random.uniform(); });
  }
  if (options_.policy.kind == PolicyKind::kNone) return;
  const Resample resample = filter == imgpack::jpeg::Filter::kBicubic ? Resample::kBicubic : Resample::kBilinear;
  KeyedRandom random(key.seed, Purpose::kPolicy, key.epoch, key.sample_id, key.repeat);
  for (const PolicyStep& step :
       choose_steps(options_.policy, image.width, image.height, [&] { return random.uniform(); }))
    apply_step(step, image, resample, policy_fill(options_.policy), scratch_);
}

}  // namespace imgtrain::data
