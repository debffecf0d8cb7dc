// Which process of how many this is, and where they meet: read from what torchrun, Slurm, or a person set in the
// environment. imgtrain's own launcher (--gpus) sets the same variables as torchrun.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace imgtrain {

struct Launch {
  int rank = 0, world = 1;
  int local_rank = 0, local_world = 1;  // Among the processes of this host.
  std::string master_address = "127.0.0.1";
  uint16_t master_port = 29500;
  // torchrun's agent already serves the store at the master's port: rank 0 must not.
  bool store_is_served = false;
  // Of rank 0 under imgtrain's own launcher: the listening socket that the store takes over. -1: it opens one.
  int store_descriptor = -1;
  // Keeps runs, and restarts of one run, apart on one store. Empty where the launcher gives none.
  std::string run_id;
  // `torchrun`, `slurm`, `imgtrain` (--gpus, --ranks), `environment` (RANK and the like set by hand) or `none`.
  std::string launcher = "none";
};

// RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT, TORCHELASTIC_*, IMGTRAIN_RUN_ID where RANK
// or WORLD_SIZE is set; else SLURM_PROCID and its kind inside an srun step; else one process. A variable that is
// missing, no number or out of range is Error(kUsage) naming it.
Launch launch_from(const std::map<std::string, std::string>& environment);
Launch launch_from_environment();

// `node[03-05,9],other` -> `node03`. Error(kUsage) if that is no list of hosts.
std::string first_host(const std::string& slurm_node_list);

// The address of this host on the way to `host` (a name or an address): the one that peers can reach it at. Sends
// nothing. Error(kIo) if the name is unknown or there is no way.
std::string own_address_towards(const std::string& host);

}  // namespace imgtrain
