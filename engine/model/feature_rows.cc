#include "engine/model/feature_rows.h"

#include <cstdint>

#include "engine/kernels/launch.h"

namespace imgtrain {

torch::Tensor as_rows(const torch::Tensor& map) {
  const torch::Tensor rows = map.contiguous(at::MemoryFormat::ChannelsLast);
  const bool aligned = reinterpret_cast<uintptr_t>(rows.const_data_ptr()) % kernels::kVectorBytes == 0;
  return aligned ? rows : rows.clone();
}

}  // namespace imgtrain
