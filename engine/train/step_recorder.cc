#include "engine/train/step_recorder.h"

#ifdef IMGTRAIN_WITH_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace imgtrain {

#ifdef IMGTRAIN_WITH_CUDA
namespace {

class CudaGraphRecording : public StepRecording {
 public:
  void replay() override { graph.replay(); }
  at::cuda::CUDAGraph graph;
};

// Ends a capture that an exception leaves half done, so that the device can be used again.
class Capture {
 public:
  Capture(at::cuda::CUDAGraph& graph, c10::MempoolId_t pool) : graph_(graph) {
    // Of this thread alone: those that read and decode go on meanwhile. Autograd's own thread queues on the stream that
    // is captured.
    graph_.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    if (ended_) return;
    try {
      graph_.capture_end();
    } catch (const std::exception&) {
      // What broke the capture is on its way to the caller.
    }
    (void)cudaGetLastError();  // A broken capture leaves its error behind for whoever asks next.
  }
  void end() {
    ended_ = true;
    graph_.capture_end();
  }

 private:
  at::cuda::CUDAGraph& graph_;
  bool ended_ = false;
};

class CudaGraphRecorder : public StepRecorder {
 public:
  explicit CudaGraphRecorder(torch::Device device)
      : stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())),
        pool_(at::cuda::graph_pool_handle()) {}

  std::unique_ptr<StepRecording> record(const std::function<void()>& work) override {
    torch::cuda::synchronize(stream_.device_index());
    // The recording has memory of its own: what steps before it left in the allocator would stay unused beside it.
    c10::cuda::CUDACachingAllocator::emptyCache();
    auto recording = std::make_unique<CudaGraphRecording>();
    const c10::cuda::CUDAStreamGuard on_stream(stream_);
    Capture capture(recording->graph, pool_);
    work();
    capture.end();
    return recording;
  }

 private:
  c10::cuda::CUDAStream stream_;
  c10::MempoolId_t pool_;
};

}  // namespace
#endif

std::unique_ptr<StepRecorder> make_step_recorder(torch::Device device) {
#ifdef IMGTRAIN_WITH_CUDA
  if (device.is_cuda()) return std::make_unique<CudaGraphRecorder>(device);
#endif
  (void)device;
  return nullptr;
}

}  // namespace imgtrain
