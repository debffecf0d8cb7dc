// StepTrace: what one step does and when, as a Chrome trace (chrome://tracing, ui.perfetto.dev): operators of forward
// and backward, exchanges of gradients beside them, on CUDA the kernels and copies too. libtorch's profiler records it.
#pragma once

#include <torch/torch.h>

#include <filesystem>

#include "format/file.h"

namespace imgtrain {

// Records from construction on what this thread, and backward's threads on its behalf, ask for. One at a time.
class StepTrace {
 public:
  explicit StepTrace(torch::Device device);
  ~StepTrace();  // Without save(): forgets it.
  StepTrace(const StepTrace&) = delete;
  StepTrace& operator=(const StepTrace&) = delete;

  // Waits for the device, then publishes the trace. Once. Throws Error(kIo).
  void save(imgpack::FileSystem& fs, const std::filesystem::path& target);

 private:
  torch::Device device_;
  bool recording_ = true;
};

}  // namespace imgtrain
