#include "engine/train/step_trace.h"

#include <torch/csrc/autograd/profiler_kineto.h>

#include <set>
#include <string>

#ifdef IMGTRAIN_WITH_CUDA
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace imgtrain {

namespace profiler = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;

StepTrace::StepTrace(torch::Device device) : device_(device) {
  std::set<ActivityType> activities = {ActivityType::CPU};
  if (device.is_cuda()) activities.insert(ActivityType::CUDA);
  const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
  profiler::prepareProfiler(config, activities);
  profiler::enableProfiler(config, activities);
}

StepTrace::~StepTrace() {
  if (recording_) profiler::disableProfiler();
}

void StepTrace::save(imgpack::FileSystem& fs, const std::filesystem::path& target) {
#ifdef IMGTRAIN_WITH_CUDA
  if (device_.is_cuda()) c10::cuda::device_synchronize();
#endif
  recording_ = false;
  const auto result = profiler::disableProfiler();
  // The profiler writes a file of its own; what stands under `target` is whole.
  const std::filesystem::path aside = imgpack::temporary_path(target);
  try {
    result->save(aside.string());
    fs.rename(aside, target);
  } catch (...) {
    imgpack::remove_quietly(fs, aside);
    throw;
  }
}

}  // namespace imgtrain
