// Which GPUs the kernels of this build run on.
#pragma once

namespace imgtrain::kernels {

// The least compute capability, 80 for 8.0; 0: the program was built without kernels.
int oldest_capability();

}  // namespace imgtrain::kernels
