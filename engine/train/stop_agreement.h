// All ranks stop at the same step: whoever was asked to stop tells the others, in the same exchange.
#pragma once

#include <torch/torch.h>

#include "engine/train/data_parallel.h"
#include "engine/train/run/run_listener.h"

namespace imgtrain {

// One thread per rank; every rank calls stop() equally often.
class StopAgreement {
 public:
  StopAgreement(RunListener& listener, GradientSync& sync, torch::Device device)
      : listener_(listener), sync_(sync), device_(device) {}

  // After every batch. On CUDA the exchange makes the host wait, so it takes place once in a while.
  bool stop() {
    if (sync_.world() == 1) return listener_.stop_requested();
    if (device_.is_cuda() && ++calls_ % kCallsBetweenExchanges != 0) return false;
    torch::Tensor flag =
        torch::full({1}, listener_.stop_requested() ? 1.0 : 0.0, torch::dtype(torch::kFloat).device(device_));
    sync_.all_reduce_max(flag);
    return flag.item<float>() > 0;
  }

 private:
  static constexpr uint64_t kCallsBetweenExchanges = 8;
  RunListener& listener_;
  GradientSync& sync_;
  torch::Device device_;
  uint64_t calls_ = 0;
};

}  // namespace imgtrain
