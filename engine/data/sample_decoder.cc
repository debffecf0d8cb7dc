#include "engine/data/sample_decoder.h"

#include <cinttypes>
#include <cstdio>

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
                                                uint8_t* rgb, int64_t& label, uint64_t& id) {
  const uint64_t record = sample.record;
  std::string name;
  try {
    const auto path = decode_record(sample, epoch, size, rgb, name);
    label = split_.columns.label[record];
    id = split_.columns.id[record];
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
  imgpack::jpeg::SampleWindow window;
  {
    const Stopwatch::Lap lap(stages_.augment);
    window = options_.transform == Transform::kTrain
                 ? random_resized_crop(view.meta.width, view.meta.height, options_.crop,
                                       {options_.seed, epoch, view.meta.id, sample.repeat})
                 : resize_center_crop(view.meta.width, view.meta.height, options_.resize_short, size);
  }
  return decoder_->decode(view.image(), view.entropy_index(), window, static_cast<int>(size), static_cast<int>(size),
                          options_.filter, rgb);
}

}  // namespace imgtrain::data
