#include "tools/imgbench/workloads.h"

namespace imgbench {

const std::vector<WorkloadEntry>& workloads() {
  static const std::vector<WorkloadEntry> table = {
      scan_workload(),        read_workload(),
      checksum_workload(),    index_workload(),
      index_names_workload(), entropy_index_workload(),
      decode_workload(),      decode_reference_workload(),
      eval_decode_workload(), eval_decode_reference_workload(),
      pipeline_workload(),    eval_pipeline_workload(),
      first_batch_workload(), pack_workload(),
      pack_header_workload(), pack_header_unsynced_workload(),
      pack_resize_workload(), pack_million_workload(),
      write_workload(),       write_unsynced_workload(),
  };
  return table;
}

}  // namespace imgbench
