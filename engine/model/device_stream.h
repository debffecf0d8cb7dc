// What kernels of engine/kernels are told about the device that a tensor is on.
#pragma once

#include <torch/torch.h>

#include "engine/kernels/launch.h"

namespace imgtrain {

// The stream that torch queues on now; nullptr on the CPU.
kernels::Stream current_stream(torch::Device device);

// Of the device; 1 on the CPU.
int multiprocessors(torch::Device device);

// Throws Error(kInternal) for a kernel that was not queued.
void require_queued(const kernels::KernelStatus& status);

// Whether kernels of this program's own are there and have code for the device.
bool has_kernels_for(torch::Device device);

}  // namespace imgtrain
