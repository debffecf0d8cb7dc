#include "engine/train/batch_feed.h"

#include <array>
#include <utility>

#include "engine/model/portable/pixel_statistics.h"

#ifdef IMGTRAIN_WITH_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace imgtrain {
namespace {

using torch::Tensor;

// The host's batch as tensors that look into its slot.
Tensor images_of(const data::Batch& batch) {
  return torch::from_blob(const_cast<uint8_t*>(batch.images), {batch.count, batch.size, batch.size, 3}, torch::kUInt8);
}

Tensor labels_of(const data::Batch& batch) {
  return torch::from_blob(const_cast<int64_t*>(batch.labels), {batch.count}, torch::kLong);
}

DeviceBatch facts_of(const data::Batch& batch, uint64_t order_digest) {
  DeviceBatch out;
  out.ids = batch.ids;
  out.order_digest = order_digest;
  out.blanks = batch.blanks;
  out.first = batch.first;
  out.count = batch.count;
  out.global_count = batch.global_count;
  out.index = batch.index;
  out.left_out = batch.left_out;
  return out;
}

}  // namespace

#ifdef IMGTRAIN_WITH_CUDA

// Two buffers on the device take turns: while the model works on one, the next batch is copied into the other.
struct BatchFeed::State {
  struct Buffer {
    Tensor images, labels;                  // Memory, as large as the largest batch so far.
    Tensor current_images, current_labels;  // The batch in it.
    data::Batch source;                     // Held until its copy is done.
    uint64_t order_digest = 0;              // When that was the last batch.
    at::cuda::CUDAEvent begun{cudaEventDefault}, copied{cudaEventDefault};  // On the copy stream, timed.
    at::cuda::CUDAEvent used;  // On the compute stream, after the work on this buffer was queued.
  };

  State(data::BatchPipeline& p, torch::Device d) : pipeline(p), device(d) {
    if (device.is_cuda()) copy_stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device.index());
  }

  // Waits for a buffer's copy, which is usually long done, and counts it.
  void settle(Buffer& buffer) {
    if (buffer.source.count == 0) return;  // Nothing was copied.
    buffer.copied.synchronize();
    copy_seconds += buffer.begun.elapsed_time(buffer.copied) / 1e3;
  }

  // Queues the copy of the next batch into a buffer; false at the end of the epoch.
  bool fetch(size_t index) {
    Buffer& buffer = buffers[index];
    // The slot of the batch before may go back only when it has been read.
    if (buffer.source.slot) settle(buffer);
    buffer.source = {};
    std::optional<data::Batch> batch = pipeline.next();
    if (!batch) return false;
    buffer.source = std::move(*batch);
    buffer.order_digest = pipeline.order_digest();
    if (buffer.source.count == 0) return true;
    const c10::cuda::CUDAStreamGuard on_copy_stream(*copy_stream);
    buffer.used.block(*copy_stream);
    buffer.begun.record(*copy_stream);
    const auto place = [&](Tensor& target, const Tensor& host) {
      if (!target.defined() || target.numel() < host.numel())
        target = torch::empty({host.numel()}, host.options().device(device));
      Tensor view = target.narrow(0, 0, host.numel()).view(host.sizes());
      view.copy_(host, /*non_blocking=*/true);
      return view;
    };
    buffer.current_images = place(buffer.images, images_of(buffer.source));
    buffer.current_labels = place(buffer.labels, labels_of(buffer.source));
    buffer.copied.record(*copy_stream);
    return true;
  }

  void prefetch() {
    if (state != Ahead::kUnknown) return;
    // What was queued on the buffer in use must be done before the other turn writes it.
    if (in_use) buffers[*in_use].used.record(c10::cuda::getCurrentCUDAStream(device.index()));
    state = fetch(turn) ? Ahead::kWaiting : Ahead::kEnd;
  }

  std::optional<DeviceBatch> next_on_device() {
    prefetch();
    if (state == Ahead::kEnd) return std::nullopt;
    state = Ahead::kUnknown;
    in_use = turn;
    turn = 1 - turn;
    const Buffer& buffer = buffers[*in_use];
    DeviceBatch out = facts_of(buffer.source, buffer.order_digest);
    if (out.count > 0) {
      buffers[*in_use].copied.block(c10::cuda::getCurrentCUDAStream(device.index()));
      out.images = buffer.current_images;
      out.labels = buffer.current_labels;
    }
    return out;
  }

  void start(uint64_t epoch, uint64_t first_batch, const data::EpochSettings& settings) {
    for (Buffer& buffer : buffers) {
      if (buffer.source.slot) settle(buffer);
      buffer.source = {};
    }
    pipeline.start_epoch(epoch, first_batch, settings);
    in_use.reset();
    turn = 0;
    state = Ahead::kUnknown;
  }

  data::BatchPipeline& pipeline;
  torch::Device device;
  std::optional<c10::cuda::CUDAStream> copy_stream;
  std::array<Buffer, 2> buffers;
  std::optional<size_t> in_use;  // The buffer that the model works on.
  size_t turn = 0;               // The one that is filled next, or has been.
  enum class Ahead { kUnknown, kWaiting, kEnd } state = Ahead::kUnknown;
  data::Batch on_host;  // CPU: the batch whose slot is being looked into.
  double copy_seconds = 0;
};

#else

struct BatchFeed::State {
  State(data::BatchPipeline& p, torch::Device d) : pipeline(p), device(d) {}
  void start(uint64_t epoch, uint64_t first_batch, const data::EpochSettings& settings) {
    pipeline.start_epoch(epoch, first_batch, settings);
  }
  void prefetch() {}
  std::optional<DeviceBatch> next_on_device() { return std::nullopt; }

  data::BatchPipeline& pipeline;
  torch::Device device;
  data::Batch on_host;
  double copy_seconds = 0;
};

#endif

BatchFeed::BatchFeed(data::BatchPipeline& pipeline, torch::Device device)
    : state_(std::make_unique<State>(pipeline, device)) {}

BatchFeed::~BatchFeed() = default;

void BatchFeed::start_epoch(uint64_t epoch, uint64_t first_batch, const data::EpochSettings& settings) {
  state_->on_host = {};
  state_->start(epoch, first_batch, settings);
}

std::optional<DeviceBatch> BatchFeed::next() {
  if (state_->device.is_cuda()) return state_->next_on_device();
  state_->on_host = {};  // The slot goes back before another one is asked for.
  std::optional<data::Batch> batch = state_->pipeline.next();
  if (!batch) return std::nullopt;
  state_->on_host = std::move(*batch);
  DeviceBatch out = facts_of(state_->on_host, state_->pipeline.order_digest());
  if (out.count > 0) {
    out.images = images_of(state_->on_host);
    out.labels = labels_of(state_->on_host);
  }
  return out;
}

void BatchFeed::prefetch() {
  if (state_->device.is_cuda()) state_->prefetch();
}

double BatchFeed::copy_seconds() const {
  return state_->copy_seconds;
}

PixelNormalizer::PixelNormalizer(torch::Device device, torch::Dtype type) {
  // (v / 255 - mean) / std as one multiplication and one addition.
  const Tensor mean = torch::tensor(at::ArrayRef<double>(kPixelMean), torch::kDouble);
  const Tensor deviation = torch::tensor(at::ArrayRef<double>(kPixelDeviation), torch::kDouble);
  scale_ = (1.0 / (255.0 * deviation)).to(device, type);
  shift_ = (-mean / deviation).to(device, type);
}

Tensor PixelNormalizer::operator()(const Tensor& images) {
  torch::NoGradGuard no_grad;
  const int64_t count = images.size(0), height = images.size(1), width = images.size(2);
  if (!row_scale_.defined() || row_scale_.numel() != 3 * width) {
    row_scale_ = scale_.repeat({width});
    row_shift_ = shift_.repeat({width});
  }
  const Tensor rows = images.view({count, height, 3 * width}).to(scale_.scalar_type());
  return torch::addcmul(row_shift_, rows, row_scale_).view({count, height, width, 3}).permute({0, 3, 1, 2});
}

}  // namespace imgtrain
