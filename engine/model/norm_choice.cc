#include "engine/model/norm_choice.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "engine/model/kernel_check.h"

namespace imgtrain {
namespace {

using torch::Tensor;

// Rounds of all candidates in turn, so that a clock that slows down meets them all; runs of a round are timed as one.
constexpr int kRounds = 5, kRuns = 3;
// What a later candidate has to save, as a share of an earlier one's time.
constexpr double kNoise = 0.02;

NormShape shape_of(const Tensor& x, bool adds, const FusedNorm::Parameters& p) {
  return {x.numel() / x.size(1), x.size(1), x.scalar_type(), adds, p.relu, p.forks};
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

NormChoice::NormChoice(std::vector<NormCandidate> candidates, std::shared_ptr<const DeviceClock> clock)
    : candidates_(std::move(candidates)), clock_(std::move(clock)) {}

bool NormChoice::takes(const Tensor& x, const Tensor& weight) const {
  return std::any_of(candidates_.begin(), candidates_.end(),
                     [&](const NormCandidate& candidate) { return candidate.norm->takes(x, weight); });
}

FusedNorm::Result NormChoice::forward(const Tensor& x, const Tensor& shortcut, const Parameters& p) const {
  const auto& norm = candidates_[choose(x, shortcut, p)].norm;
  Result result = norm->forward(x, shortcut, p);
  if (result.by == nullptr) result.by = norm;
  return result;
}

FusedNorm::Gradients NormChoice::backward(const Tensor& dy, const Tensor& dy_too, const Tensor& x, bool has_shortcut,
                                          const Parameters& p, const Result& forward) const {
  return forward.by->backward(dy, dy_too, x, has_shortcut, p, forward);
}

const FusedNorm* NormChoice::pairs() const {
  for (const NormCandidate& candidate : candidates_)
    if (candidate.norm->takes_pairs()) return candidate.norm.get();
  return nullptr;
}

FusedNorm::PairResult NormChoice::forward_pair(const Tensor& x, const Parameters& p, const Tensor& shortcut,
                                               const Parameters& shortcut_p) const {
  return pairs()->forward_pair(x, p, shortcut, shortcut_p);
}

FusedNorm::PairGradients NormChoice::backward_pair(const Tensor& dy, const Tensor& dy_too, const Tensor& x,
                                                   const Parameters& p, const Tensor& shortcut,
                                                   const Parameters& shortcut_p, const PairResult& forward) const {
  return pairs()->backward_pair(dy, dy_too, x, p, shortcut, shortcut_p, forward);
}

std::vector<NormChoice::Trial> NormChoice::trials() const {
  const std::lock_guard lock(mutex_);
  std::vector<Trial> trials;
  for (const auto& [shape, outcome] : outcomes_) trials.push_back({shape, outcome.seconds, outcome.chosen});
  return trials;
}

size_t NormChoice::choose(const Tensor& x, const Tensor& shortcut, const Parameters& p) const {
  const auto takes_it = [&](const NormCandidate& candidate) { return candidate.norm->takes(x, p.weight); };
  const auto preferred = std::find_if(candidates_.begin(), candidates_.end(), takes_it);
  const auto first = preferred == candidates_.end() ? 0 : static_cast<size_t>(preferred - candidates_.begin());
  if (std::count_if(candidates_.begin(), candidates_.end(), takes_it) < 2) return first;
  const NormShape shape = shape_of(x, shortcut.defined(), p);
  const std::lock_guard lock(mutex_);
  const auto known = outcomes_.find(shape);
  if (known != outcomes_.end()) return known->second.chosen;
  if (clock_->records(x.device())) return first;
  return outcomes_.emplace(shape, try_all(x, shortcut, p, first)).first->second.chosen;
}

NormChoice::Outcome NormChoice::try_all(const Tensor& x, const Tensor& shortcut, const Parameters& p,
                                        size_t first) const {
  const torch::NoGradGuard no_grad;
  Parameters scratch = p;
  scratch.running_mean = torch::zeros_like(p.running_mean);
  scratch.running_var = torch::ones_like(p.running_var);
  Outcome outcome{std::vector<std::optional<double>>(candidates_.size()), first};
  std::vector<std::vector<double>> rounds(candidates_.size());
  std::vector<bool> is_out(candidates_.size());
  for (size_t i = 0; i < candidates_.size(); ++i) is_out[i] = !candidates_[i].norm->takes(x, p.weight);
  // The first round warms up: code is loaded, memory reserved, and what is refused is found out.
  for (int round = 0; round <= kRounds; ++round) {
    for (size_t i = 0; i < candidates_.size(); ++i) {
      if (is_out[i]) continue;
      const FusedNorm& norm = *candidates_[i].norm;
      try {
        // The gradients' values do not matter to the time: x stands in, which spares memory.
        const double seconds = clock_->seconds(x.device(), kRuns, [&] {
          const Result result = norm.forward(x, shortcut, scratch);
          norm.backward(x, p.forks ? x : Tensor(), x, shortcut.defined(), scratch, result);
        });
        if (round > 0) rounds[i].push_back(seconds);
      } catch (const c10::OutOfMemoryError&) {
        return outcome;  // No one's fault, and no one's merit.
      } catch (const std::exception&) {
        is_out[i] = true;
      }
    }
  }
  for (size_t i = 0; i < candidates_.size(); ++i)
    if (!is_out[i]) outcome.seconds[i] = median(std::move(rounds[i]));
  outcome.chosen = fastest(outcome.seconds).value_or(first);
  return outcome;
}

std::optional<size_t> fastest(const std::vector<std::optional<double>>& seconds) {
  std::optional<size_t> best;
  for (size_t i = 0; i < seconds.size(); ++i)
    if (seconds[i] && (!best || *seconds[i] < (1 - kNoise) * *seconds[*best])) best = i;
  return best;
}

std::shared_ptr<const FusedNorm> with_alternative(NormCandidate own, NormCandidate alternative, torch::Device device,
                                                  std::shared_ptr<const DeviceClock> clock) {
  if (alternative.norm == nullptr) return own.norm;
  if (const std::string why = disagreement(*alternative.norm, device); !why.empty()) {
    TORCH_WARN(alternative.name, "'s fused batch norm is left alone, this program's own kernels do without: ", why);
    return own.norm;
  }
  return std::make_shared<NormChoice>(std::vector<NormCandidate>{std::move(own), std::move(alternative)},
                                      std::move(clock));
}

}  // namespace imgtrain
