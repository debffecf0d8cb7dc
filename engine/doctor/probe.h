// Gathers a machine's facts: reads what the kernel says, asks the metadata service, loads GPU libraries. Changes
// nothing; what cannot be found out stays unknown. Not thread-safe.
#pragma once

#include <chrono>
#include <filesystem>

#include "engine/doctor/facts.h"

namespace imgtrain::doctor {

// Everything but folders, GPU and libtorch. At most `metadata_timeout` for the metadata service.
// Throws Error(kUsage) where AWS_EC2_METADATA_SERVICE_ENDPOINT is no http:// URL.
Facts probe_machine(std::chrono::milliseconds metadata_timeout);

struct FolderProbe {
  uint64_t bytes = uint64_t{256} << 20;  // Written and read, at most; never more than a tenth of what is free.
  std::chrono::milliseconds most{4000};  // Of each direction.
};

// Writes a temporary file that has no name, syncs it and reads it past the page cache. Where nothing can be written,
// the largest file of the folder is read instead. Outcomes are in the result; throws nothing but bad_alloc.
FolderFacts probe_folder(const std::filesystem::path& folder, const FolderProbe& how);

GpuFacts probe_gpus();  // Through libcuda.so.1, loaded for the purpose.

// The version that libnccl.so.2 says it has, as 22809; 0: it cannot be loaded.
int probe_nccl();

}  // namespace imgtrain::doctor
