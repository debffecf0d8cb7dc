#include "engine/kernels/batch_norm_plan.h"

#include <algorithm>

namespace imgtrain::kernels {
namespace {

int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace

BatchNormPlan plan_batch_norm(const BatchNormShape& shape) {
  BatchNormPlan plan;
  const int whole = kVectorBytes / bytes_of(shape.type);
  plan.vector = shape.channels % whole == 0 ? whole : 1;
  plan.groups = shape.channels / plan.vector;
  while (plan.lanes < kMaxLanes && plan.lanes < plan.groups) plan.lanes *= 2;
  plan.depth = kBlockThreads / plan.lanes;
  plan.channel_blocks = static_cast<int>(divide_up(plan.groups, plan.lanes));
  const int64_t wanted = divide_up(shape.rows, static_cast<int64_t>(plan.depth) * kMinRowsPerThread);
  const int64_t room =
      std::max<int64_t>(1, int64_t{shape.multiprocessors} * kBlocksPerMultiprocessor / plan.channel_blocks);
  plan.row_blocks = static_cast<int>(std::clamp<int64_t>(wanted, 1, room));
  return plan;
}

int64_t mask_bytes(const BatchNormShape& shape) {
  return shape.rows * plan_batch_norm(shape).groups;
}

int64_t workspace_floats(const BatchNormShape& shape) {
  // Three partial results per channel and block row at most, or two and a count; and two factors per channel of each
  // norm.
  const int64_t row_blocks = plan_batch_norm(shape).row_blocks, channels = shape.channels;
  return row_blocks * (3 * channels + 1) + 4 * channels;
}

}  // namespace imgtrain::kernels
