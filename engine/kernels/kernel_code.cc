#include "engine/kernels/kernel_code.h"

namespace imgtrain::kernels {

int oldest_capability() {
#ifdef IMGTRAIN_KERNEL_OLDEST
  return IMGTRAIN_KERNEL_OLDEST;
#else
  return 0;
#endif
}

}  // namespace imgtrain::kernels
