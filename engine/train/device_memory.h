// The most memory that work on a device has taken: of the device, or of this process where the CPU is the device.
#pragma once

#include <torch/torch.h>

#include <cstdint>

namespace imgtrain {

// On CUDA also gives back what the allocator keeps for later, so that it does not count as somebody's.
void forget_peak_memory(torch::Device device);
// Since then; on CUDA what was reserved of the device, as torch.cuda.max_memory_reserved() counts.
uint64_t peak_memory(torch::Device device);

}  // namespace imgtrain
