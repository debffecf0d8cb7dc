// All ranks save and stop at the same step: whoever was asked to tells the others, in the same exchange.
#pragma once

#include <torch/torch.h>

#include <algorithm>
#include <utility>

#include "engine/train/data_parallel.h"
#include "engine/train/run/run_listener.h"

namespace imgtrain {

// One thread per rank; every rank calls agree() equally often.
class RequestAgreement {
 public:
  RequestAgreement(RunListener& listener, GradientSync& sync, torch::Device device)
      : listener_(listener), sync_(sync), device_(device) {}

  // After every batch. On CUDA the exchange makes the host wait, so it takes place once in a while.
  RunRequest agree() {
    pending_ = std::max(pending_, listener_.take_request());
    if (sync_.world() > 1) {
      if (device_.is_cuda() && ++calls_ % kCallsBetweenExchanges != 0) return RunRequest::kNone;
      const double largest = largest_over_ranks(sync_, static_cast<double>(pending_), device_);
      pending_ = static_cast<RunRequest>(static_cast<int>(largest));
    }
    return std::exchange(pending_, RunRequest::kNone);
  }

 private:
  static constexpr uint64_t kCallsBetweenExchanges = 8;
  RunListener& listener_;
  GradientSync& sync_;
  torch::Device device_;
  uint64_t calls_ = 0;
  RunRequest pending_ = RunRequest::kNone;
};

}  // namespace imgtrain
