// The decoders alone: records in memory, one window each, no reading, no batches.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <thread>

#include "engine/data/augment.h"
#include "engine/data/batch_pipeline.h"
#include "format/dataset.h"
#include "format/error.h"
#include "format/jpeg/entropy_index.h"
#include "format/jpeg/image_decoder.h"
#include "format/jpeg/index_check.h"
#include "format/record.h"
#include "tools/imgbench/workloads.h"

namespace imgbench {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
using imgpack::jpeg::DecodePath;
using imgpack::jpeg::DecoderKind;
using imgpack::jpeg::ImageDecoder;
using imgpack::jpeg::SampleWindow;
using imgtrain::data::Transform;

constexpr double kLowestPsnr = 40;  // dB of any image's fast pixels to the reference's.

struct HeldRecord {
  std::vector<std::byte> jpeg, entropy_index;
  uint32_t width = 0, height = 0;
  uint64_t id = 0;
};

std::vector<HeldRecord> hold_records(const BenchSettings& settings) {
  imgpack::FileSystem& fs = imgpack::posix_file_system();
  const imgpack::Dataset dataset = imgpack::Dataset::open(fs, settings.shards);
  const imgpack::SplitView& split = dataset.split(settings.split);
  std::vector<HeldRecord> held;
  std::unique_ptr<imgpack::RandomAccessFile> file;
  for (uint64_t i = 0; i < std::min(split.records(), settings.images); i++) {
    const auto path = dataset.shard_path(settings.split, split.shard[i]);
    if (file == nullptr || file->path() != path) file = fs.open(path);
    std::vector<std::byte> bytes(split.columns.record_bytes[i]);
    if (file->read_at(split.offset[i], bytes) != bytes.size())
      throw Error(ErrorKind::kCorruption, "shard is shorter than its index says", path, split.offset[i]);
    const imgpack::RecordView view = imgpack::parse_record(bytes, path, split.offset[i]);
    const auto jpeg = view.image(), index = view.entropy_index();
    held.push_back(
        {{jpeg.begin(), jpeg.end()}, {index.begin(), index.end()}, view.meta.width, view.meta.height, view.meta.id});
  }
  if (held.empty())
    throw Error(ErrorKind::kInvalidInput, "split " + settings.split + " has no records", settings.shards);
  return held;
}

// Calls body(thread, first, end) for equal ranges of `count` on so many threads.
template <class Body>
void in_parallel(uint32_t threads, size_t count, Body&& body) {
  std::vector<std::thread> others;
  for (uint32_t t = 1; t < threads; t++) {
    others.emplace_back([&, t] { body(t, count * t / threads, count * (t + 1) / threads); });
  }
  body(0u, size_t{0}, count / threads);
  for (std::thread& thread : others) thread.join();
}

double psnr(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  double squares = 0;
  for (size_t i = 0; i < a.size(); i++) squares += (a[i] - b[i]) * (a[i] - b[i]);
  return squares == 0 ? 99 : 10 * std::log10(65025.0 * static_cast<double>(a.size()) / squares);
}

class DecodeWorkload : public Workload {
 public:
  DecodeWorkload(const BenchSettings& settings, DecoderKind kind, Transform transform)
      : transform_(transform),
        size_(settings.size),
        threads_(std::max(1u, settings.threads)),
        records_(hold_records(settings)) {
    for (const HeldRecord& record : records_) bytes_ += record.jpeg.size();
    for (uint32_t t = 0; t < threads_; t++) {
      decoders_.push_back(imgpack::jpeg::make_decoder({kind}));
      outputs_.emplace_back(size_t{size_} * size_ * 3);
    }
  }

  // Every image's pixels against the reference decoder's.
  std::string check() override {
    const auto reference = imgpack::jpeg::make_reference_decoder();
    std::vector<uint8_t> expected(outputs_[0].size());
    std::vector<double> quality;
    size_t fast = 0;
    for (const HeldRecord& record : records_) {
      fast += decode(*decoders_[0], record, outputs_[0]) == DecodePath::kFast;
      decode(*reference, record, expected);
      quality.push_back(psnr(outputs_[0], expected));
    }
    std::sort(quality.begin(), quality.end());
    if (quality.front() < kLowestPsnr)
      throw Error(ErrorKind::kInternal, "pixels differ from the reference decoder's: expected at least " +
                                            std::to_string(kLowestPsnr) + " dB, found " +
                                            std::to_string(quality.front()));
    char text[160];
    std::snprintf(
        text, sizeof text,
        "%zu of %zu images by the fast path; to the reference at least %.1f dB, 5th percentile %.1f, median %.1f", fast,
        records_.size(), quality[0], quality[quality.size() / 20], quality[quality.size() / 2]);
    return text;
  }

  Work run() override {
    in_parallel(threads_, records_.size(), [&](uint32_t thread, size_t first, size_t end) {
      for (size_t i = first; i < end; i++) decode(*decoders_[thread], records_[i], outputs_[thread]);
    });
    return {records_.size(), bytes_};
  }

 private:
  DecodePath decode(ImageDecoder& decoder, const HeldRecord& record, std::vector<uint8_t>& rgb) const {
    const SampleWindow window =
        transform_ == Transform::kTrain
            ? imgtrain::data::random_resized_crop(record.width, record.height, {}, {1, 0, record.id, 0})
            : imgtrain::data::resize_center_crop(record.width, record.height, size_ * 8 / 7, size_);
    const int side = static_cast<int>(size_);
    return decoder.decode(record.jpeg, record.entropy_index, window, side, side, imgpack::jpeg::Filter::kBilinear,
                          rgb.data());
  }

  const Transform transform_;
  const uint32_t size_, threads_;
  const std::vector<HeldRecord> records_;
  std::vector<std::unique_ptr<ImageDecoder>> decoders_;
  std::vector<std::vector<uint8_t>> outputs_;
  uint64_t bytes_ = 0;
};

class EntropyIndexWorkload : public Workload {
 public:
  explicit EntropyIndexWorkload(const BenchSettings& settings)
      : threads_(std::max(1u, settings.threads)), records_(hold_records(settings)), builders_(threads_) {
    for (const HeldRecord& record : records_) bytes_ += record.jpeg.size();
  }

  // The coefficients that each index leads to against libjpeg's.
  std::string check() override {
    size_t indexed = 0, index_bytes = 0;
    for (const HeldRecord& record : records_) {
      const auto index = builders_[0].build(record.jpeg, kMcusPerEntry);
      if (!index) continue;
      indexed++;
      index_bytes += index->size();
      const std::string wrong = imgpack::jpeg::check_entropy_index(record.jpeg, *index);
      if (!wrong.empty()) throw Error(ErrorKind::kInternal, "entropy index is wrong: " + wrong);
    }
    return std::to_string(indexed) + " of " + std::to_string(records_.size()) + " streams indexed, " +
           std::to_string(index_bytes / std::max<size_t>(1, indexed)) + " bytes each, coefficients equal libjpeg's";
  }

  Work run() override {
    in_parallel(threads_, records_.size(), [&](uint32_t thread, size_t first, size_t end) {
      for (size_t i = first; i < end; i++) builders_[thread].build(records_[i].jpeg, kMcusPerEntry);
    });
    return {records_.size(), bytes_};
  }

 private:
  static constexpr int kMcusPerEntry = 16;

  const uint32_t threads_;
  const std::vector<HeldRecord> records_;
  std::vector<imgpack::jpeg::EntropyIndexBuilder> builders_;
  uint64_t bytes_ = 0;
};

WorkloadEntry decode_entry(const char* name, const char* summary, DecoderKind kind, Transform transform) {
  return {name, summary, "images", Needs::kShards, [kind, transform](const BenchSettings& settings) {
            return std::make_unique<DecodeWorkload>(settings, kind, transform);
          }};
}

}  // namespace

WorkloadEntry decode_workload() {
  return decode_entry("decode", "Random resized crops from records in memory", DecoderKind::kFast, Transform::kTrain);
}
WorkloadEntry decode_reference_workload() {
  return decode_entry("decode-reference", "The same by the reference decoder alone", DecoderKind::kReference,
                      Transform::kTrain);
}
WorkloadEntry eval_decode_workload() {
  return decode_entry("eval-decode", "Centre crops from records in memory", DecoderKind::kFast, Transform::kEvaluate);
}
WorkloadEntry eval_decode_reference_workload() {
  return decode_entry("eval-decode-reference", "The same by the reference decoder alone", DecoderKind::kReference,
                      Transform::kEvaluate);
}
WorkloadEntry entropy_index_workload() {
  return {"entropy-index", "Walking Huffman streams in memory and building their entropy indexes", "images",
          Needs::kShards,
          [](const BenchSettings& settings) { return std::make_unique<EntropyIndexWorkload>(settings); }};
}

}  // namespace imgbench
