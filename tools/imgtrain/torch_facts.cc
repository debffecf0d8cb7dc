// Version headers only: nothing here needs torch's own.
#include "tools/imgtrain/torch_facts.h"

#include <dlfcn.h>
#include <torch/headeronly/version.h>

#include "engine/doctor/probe.h"
#include "engine/kernels/kernel_code.h"

#ifdef IMGTRAIN_WITH_CUDA
#include <cuda_runtime_api.h>
#include <nccl.h>
#endif

namespace imgtrain {

doctor::TorchFacts torch_facts() {
  doctor::TorchFacts facts;
  facts.built = IMGTRAIN_TORCH_VERSION;
  facts.built_abi = TORCH_ABI_VERSION;
  // Asked by name, since a libtorch that lacks it is one of the things to find out.
  if (void* symbol = dlsym(RTLD_DEFAULT, "aoti_torch_abi_version")) {
    facts.loaded_abi = reinterpret_cast<uint64_t (*)()>(symbol)();
    Dl_info info{};
    if (dladdr(symbol, &info) != 0 && info.dli_fname != nullptr) facts.path = info.dli_fname;
  }
#ifdef IMGTRAIN_WITH_CUDA
  facts.cuda = true;
  // Every driver of a major version of CUDA runs all of its minor versions.
  facts.cuda_needed = CUDART_VERSION / 1000 * 1000;
  facts.nccl_built = NCCL_VERSION_CODE;
  facts.nccl_loaded = doctor::probe_nccl();
#endif
#ifdef IMGTRAIN_WITH_CUDA_KERNELS
  facts.kernels = IMGTRAIN_KERNEL_CODE;
  facts.kernels_oldest = kernels::oldest_capability();
#endif
  return facts;
}

std::string torch_build_text() {
  std::string text = "libtorch " IMGTRAIN_TORCH_VERSION;
#ifdef IMGTRAIN_WITH_CUDA
  text += ", CUDA " + std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10) +
          ", NCCL " + std::to_string(NCCL_MAJOR) + "." + std::to_string(NCCL_MINOR) + "." + std::to_string(NCCL_PATCH);
#else
  text += ", CPU only";
#endif
#ifdef IMGTRAIN_WITH_CUDA_KERNELS
  text += ", kernels for " IMGTRAIN_KERNEL_CODE;
#else
  text += ", no CUDA kernels of its own";
#endif
  return text;
}

}  // namespace imgtrain
