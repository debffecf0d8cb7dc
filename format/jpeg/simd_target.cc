#include "format/jpeg/simd_target.h"

#include <hwy/highway.h>

#include "format/error.h"

namespace imgpack::jpeg {
namespace {

// HWY_TARGETS is what this library was compiled for; the static target needs no support of the CPU.
int64_t usable_targets() {
  return HWY_TARGETS & (hwy::SupportedTargets() | HWY_STATIC_TARGET);
}

// Kernels look the chosen target up at each call.
void choose_again() {
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace

std::vector<std::string> simd_targets() {
  std::vector<std::string> names;
  for (int64_t left = usable_targets(); left != 0; left &= left - 1) names.emplace_back(hwy::TargetName(left & -left));
  return names;
}

std::string chosen_simd_target() {
  return simd_targets().front();
}

ForcedSimdTarget::ForcedSimdTarget(std::string_view name) {
  for (int64_t left = usable_targets(); left != 0; left &= left - 1) {
    const int64_t target = left & -left;
    if (name != hwy::TargetName(target)) continue;
    hwy::SetSupportedTargetsForTest(target);
    choose_again();
    return;
  }
  std::string known;
  for (const std::string& target : simd_targets()) known += (known.empty() ? "" : ", ") + target;
  throw Error(ErrorKind::kUsage,
              "SIMD target not available: expected one of " + known + ", found " + std::string(name));
}

ForcedSimdTarget::~ForcedSimdTarget() {
  hwy::SetSupportedTargetsForTest(0);
  choose_again();
}

}  // namespace imgpack::jpeg
