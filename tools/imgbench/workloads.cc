#include "tools/imgbench/workloads.h"

namespace imgbench {

const std::vector<WorkloadEntry>& workloads() {
  static const std::vector<WorkloadEntry> table = {
      scan_workload(),  read_workload(),           pipeline_workload(),    eval_pipeline_workload(),
      pack_workload(),  index_workload(),          index_names_workload(), checksum_workload(),
      write_workload(), write_unsynced_workload(),
  };
  return table;
}

}  // namespace imgbench
