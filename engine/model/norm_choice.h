// Several ways to compute a fused batch norm, and for every shape the one that is fastest on this device.
//
//   forward(x, …) --shape seen before--------------------------------> that shape's candidate --> Result, `by` it
//        |                                                                       ^
//        +--new--> forward and backward of each candidate, timed on x --the fastest, remembered
//
// Which kernel is faster depends on the card and on the shape, so it is measured where it will run, on the very input;
// a trial takes a fraction of a second for each shape. It leaves no trace but the choice: running statistics go
// to scratch memory, and nothing is drawn from torch's generators. It needs room for three more maps of the shape.
#pragma once

#include <torch/torch.h>

#include <compare>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/device_clock.h"
#include "engine/model/fused_batch_norm.h"

namespace imgtrain {

struct NormCandidate {
  std::string name;  // For people: `cuDNN`.
  std::shared_ptr<const FusedNorm> norm;
};

// What decides how long a fused batch norm takes.
struct NormShape {
  int64_t rows = 0, channels = 0;  // Of the feature map: N * H * W, C.
  at::ScalarType type = at::kFloat;
  bool adds = false, relu = true;
  bool forks = false;  // Two gradients come back.
  auto operator<=>(const NormShape&) const = default;
};

// Any number of layers and threads share one; a trial holds the others up.
class NormChoice : public FusedNorm {
 public:
  struct Trial {
    NormShape shape;
    // Seconds of forward and backward together, one for each candidate. nullopt: it does not take such a map, or
    // something went wrong, and it is out for this shape.
    std::vector<std::optional<double>> seconds;
    size_t chosen = 0;
  };

  // The first candidate is preferred: it stays where no other is faster by more than noise. REQUIRES: candidates.
  NormChoice(std::vector<NormCandidate> candidates, std::shared_ptr<const DeviceClock> clock);

  bool takes(const torch::Tensor& x, const torch::Tensor& weight) const override;
  // A shape that one candidate alone takes is no choice and not tried. What is being recorded (a CUDA graph) cannot be
  // timed: a new shape goes to the first that takes it, and is tried another time. Where memory does not suffice for a
  // trial, or all fail, it is the first that takes it too. Throws what the chosen candidate throws.
  Result forward(const torch::Tensor& x, const torch::Tensor& shortcut, const Parameters& parameters) const override;
  // REQUIRES: forward.by, as forward() leaves it.
  Gradients backward(const torch::Tensor& dy, const torch::Tensor& dy_too, const torch::Tensor& x, bool has_shortcut,
                     const Parameters& parameters, const Result& forward) const override;

  // Pairs are no matter of choice: the first candidate that takes them does.
  bool takes_pairs() const override { return pairs() != nullptr; }
  PairResult forward_pair(const torch::Tensor& x, const Parameters& p, const torch::Tensor& shortcut,
                          const Parameters& shortcut_p) const override;
  PairGradients backward_pair(const torch::Tensor& dy, const torch::Tensor& dy_too, const torch::Tensor& x,
                              const Parameters& p, const torch::Tensor& shortcut, const Parameters& shortcut_p,
                              const PairResult& forward) const override;

  const std::vector<NormCandidate>& candidates() const { return candidates_; }
  std::vector<Trial> trials() const;  // So far, in the order of shapes.

 private:
  struct Outcome {
    std::vector<std::optional<double>> seconds;
    size_t chosen;
  };
  const FusedNorm* pairs() const;
  size_t choose(const torch::Tensor& x, const torch::Tensor& shortcut, const Parameters& parameters) const;
  Outcome try_all(const torch::Tensor& x, const torch::Tensor& shortcut, const Parameters& parameters,
                  size_t first) const;

  std::vector<NormCandidate> candidates_;
  std::shared_ptr<const DeviceClock> clock_;
  mutable std::mutex mutex_;
  mutable std::map<NormShape, Outcome> outcomes_;
};

// The index of the fastest of those that have a time; an earlier one stays where a later one is not faster by more than
// noise (2 %). nullopt: none has.
std::optional<size_t> fastest(const std::vector<std::optional<double>>& seconds);

// `own` alone where there is no alternative (norm == nullptr) or where it computes on the device something else than
// libtorch does (kernel_check.h; a warning says what); otherwise a NormChoice of both. REQUIRES: own.norm.
std::shared_ptr<const FusedNorm> with_alternative(NormCandidate own, NormCandidate alternative, torch::Device device,
                                                  std::shared_ptr<const DeviceClock> clock);

}  // namespace imgtrain
