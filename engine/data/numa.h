// The machine's memory nodes, as far as this process may run on them, and how ranks share their cores.
//
//   /sys/devices/system/node + CPU affinity --> NumaNode[] --share_cores()--> threads and node of each rank
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace imgtrain::data {

struct NumaNode {
  int id = 0;             // The kernel's number.
  std::vector<int> cpus;  // Of the node, that this process may use; ascending, not empty.
};

// `0-3,8,10-11` as the kernel writes it. Throws Error(kInvalidInput) for anything else.
std::vector<int> parse_cpu_list(std::string_view text);

// Nodes with at least one CPU of `allowed`, in order of their numbers. Where the system does not say: one node of all.
std::vector<NumaNode> numa_nodes(const std::filesystem::path& folder, const std::vector<int>& allowed);
// The same of this machine and this process; asked once.
const std::vector<NumaNode>& numa_nodes();

struct CoreShare {
  uint32_t threads = 1;
  int node = -1;  // The NumaNode::id to stay on; -1: any.
};

// The share of local rank `rank` of gpu_node.size(); gpu_node[r] is the node of rank r's GPU, -1 if unknown. Ranks stay
// on the nodes of their GPUs if nobody loses more than a quarter of an equal share by it; else cores are shared equally
// and nobody is bound. REQUIRES: rank < gpu_node.size(), nodes not empty.
CoreShare share_cores(const std::vector<NumaNode>& nodes, const std::vector<int>& gpu_node, uint32_t rank);

}  // namespace imgtrain::data
