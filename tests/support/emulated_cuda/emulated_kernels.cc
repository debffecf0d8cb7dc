// Other names, so that a program may hold these beside the kernels for GPUs.
#define launch_batch_norm_forward emulate_batch_norm_forward
#define launch_batch_norm_backward emulate_batch_norm_backward
#define launch_group_images emulate_group_images

#include "engine/kernels/batch_norm_backward.cu"
#include "engine/kernels/batch_norm_forward.cu"
#include "engine/kernels/group_images.cu"
