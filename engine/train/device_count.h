// How many CUDA devices this process may use. No torch in here: programs include it.
#pragma once

namespace imgtrain {

// 0 without a device or its driver. Makes no context on any of them.
int cuda_device_count();

}  // namespace imgtrain
