// The table of workloads.
#pragma once

#include <vector>

#include "tools/imgbench/workload.h"

namespace imgbench {

WorkloadEntry read_workload();
WorkloadEntry entropy_index_workload();
WorkloadEntry decode_workload();
WorkloadEntry decode_reference_workload();
WorkloadEntry eval_decode_workload();
WorkloadEntry eval_decode_reference_workload();
WorkloadEntry pipeline_workload();
WorkloadEntry eval_pipeline_workload();
WorkloadEntry first_batch_workload();
WorkloadEntry scan_workload();
WorkloadEntry pack_workload();
WorkloadEntry pack_header_workload();
WorkloadEntry pack_header_unsynced_workload();
WorkloadEntry pack_resize_workload();
WorkloadEntry pack_million_workload();
WorkloadEntry index_workload();
WorkloadEntry index_names_workload();
WorkloadEntry checksum_workload();
WorkloadEntry write_workload();
WorkloadEntry write_unsynced_workload();

const std::vector<WorkloadEntry>& workloads();

}  // namespace imgbench
