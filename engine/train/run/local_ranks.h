// One process of this program for every device of this machine, without any other launcher.
//
//   imgtrain --gpus 4 --> run_local_ranks --posix_spawn of itself--> 4 x imgtrain (RANK, WORLD_SIZE, LOCAL_RANK, …)
//                              signals ----------------------------->
//                              <------------------------- exit codes
//
// All of them end together: a rank that fails or dies ends the others within seconds, and whoever kills the launcher
// stops them as SIGTERM would. The meeting point is a socket that rank 0 inherits, so no port can be taken in between.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace imgtrain {

struct LocalRanks {
  int count = 1;
  std::string program;                 // Empty: this one.
  std::vector<std::string> arguments;  // Of every process, without the program's name.
  std::function<void(const std::string&)> warn;
  double grace_seconds = 12;  // For ranks to end by themselves, saying why, after one has failed.
};

// Returns when all have ended. 0: all ended well; else the exit code of the one that failed first, 1 where a signal
// killed it, 130 after a second SIGINT. SIGTERM, SIGINT and SIGUSR1 go on to every rank. Call from the main thread.
// Throws Error(kIo) if a process cannot be started; none is left then.
int run_local_ranks(const LocalRanks& ranks);

// Call first in main. In a process that run_local_ranks started: SIGTERM when the launcher dies, however it dies.
void tie_to_launcher();

}  // namespace imgtrain
