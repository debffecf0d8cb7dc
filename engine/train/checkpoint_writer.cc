#include "engine/train/checkpoint_writer.h"

#include <chrono>
#include <cmath>
#include <utility>

#include "engine/train/checkpoint.h"
#include "format/error.h"

#ifdef IMGTRAIN_WITH_CUDA
#include <ATen/cuda/CUDAEvent.h>
#endif

namespace imgtrain {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A point in the work queued on a device that another thread can wait for. On the CPU everything is done already.
class Queued {
 public:
  explicit Queued(const torch::Device& device) {
#ifdef IMGTRAIN_WITH_CUDA
    if (device.is_cuda()) {
      event_ = std::make_shared<at::cuda::CUDAEvent>();
      event_->record(c10::cuda::getCurrentCUDAStream(device.index()));
    }
#else
    (void)device;
#endif
  }
  void wait() const {
#ifdef IMGTRAIN_WITH_CUDA
    if (event_ != nullptr) event_->synchronize();
#endif
  }

 private:
#ifdef IMGTRAIN_WITH_CUDA
  std::shared_ptr<at::cuda::CUDAEvent> event_;
#endif
};

}  // namespace

CheckpointWriter::CheckpointWriter(imgpack::FileSystem& fs, CheckpointStore& store, const ResNet& model,
                                   const Optimizer& optimizer, const NamedTensors& average)
    : fs_(fs),
      store_(store),
      model_(model),
      weights_(make_copies(state_dict(*model))),
      optimizer_(make_copies(optimizer.state())),
      average_(make_copies(average)) {}

CheckpointWriter::~CheckpointWriter() {
  if (writing_.valid()) writing_.wait();
}

std::vector<CheckpointWriter::Copy> CheckpointWriter::make_copies(const NamedTensors& tensors) {
  std::vector<Copy> copies;
  for (const auto& [name, tensor] : tensors) {
    auto options = tensor.options().device(torch::kCPU).requires_grad(false);
    if (tensor.is_cuda()) options = options.pinned_memory(true);
    copies.push_back({name, tensor, torch::empty(tensor.sizes(), options, tensor.suggest_memory_format())});
  }
  return copies;
}

NamedTensors CheckpointWriter::host_side(const std::vector<Copy>& copies) {
  NamedTensors tensors;
  for (const Copy& copy : copies) tensors.emplace_back(copy.name, copy.host);
  return tensors;
}

void CheckpointWriter::save(const RunState& state) {
  const Clock::time_point start = Clock::now();
  wait();
  {
    const torch::NoGradGuard no_grad;
    for (std::vector<Copy>* copies : {&weights_, &optimizer_, &average_})
      for (Copy& copy : *copies) copy.host.copy_(copy.source, /*non_blocking=*/true);
  }
  const Queued copied(weights_.front().source.device());
  writing_ = std::async(std::launch::async, [this, state, copied, options = model_->options()] {
    const Clock::time_point begun = Clock::now();
    copied.wait();
    // A step whose loss was sound may have made weights that are not: they would be carried on from here.
    for (const Copy& copy : weights_) {
      if (copy.host.is_floating_point() && !std::isfinite(copy.host.sum(torch::kDouble).item<double>()))
        throw imgpack::Error(imgpack::ErrorKind::kInvalidInput,
                             "weights are no longer numbers after step " + std::to_string(state.position.step) + " (" +
                                 copy.name + "): nothing was saved",
                             {}, {},
                             "lower --lr, lengthen the warm-up or use --precision fp32; the last checkpoint is "
                             "from before");
    }
    write_checkpoint(fs_, store_, state, options, host_side(weights_), host_side(optimizer_), host_side(average_));
    return seconds_since(begun);
  });
  current_ = {state.position.step, seconds_since(start), 0};
}

void CheckpointWriter::wait() {
  if (!writing_.valid()) return;
  current_.write_seconds = writing_.get();
  completed_ = current_;
}

std::optional<SavedCheckpoint> CheckpointWriter::take_completed() {
  if (writing_.valid() && writing_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) wait();
  return std::exchange(completed_, std::nullopt);
}

}  // namespace imgtrain
