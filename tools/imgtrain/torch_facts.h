// What doctor and --version say of libtorch, CUDA and NCCL as this program was built with them.
#pragma once

#include <string>

#include "engine/doctor/facts.h"

namespace imgtrain {

doctor::TorchFacts torch_facts();  // Of the libraries that are loaded; loads libnccl.so.2.
std::string torch_build_text();    // `libtorch 2.11.0, CUDA 13.0, NCCL 2.28.9, kernels for sm_80, …`

}  // namespace imgtrain
