#include "tools/imgtrain/topics.h"

namespace imgtrain {

std::vector<imgpack::cli::Topic> topics() {
  return {
      {"quick-start", "from shards to an evaluated model",
       "  imgtrain doctor                                        # GPU, driver, libtorch\n"
       "  imgtrain estimate --shards DIR --recipe fast           # hours and dollars\n"
       "  imgtrain --shards DIR --recipe fast --out runs/r1      # train; again: resume\n"
       "  imgtrain eval --shards DIR --checkpoint runs/r1        # every image once\n\n"
       "`imgtrain recipes` lists what there is to start from; every option over a recipe is said at the start and "
       "stored with the run."},
      {"resume", "interruptions, and what a resumed run promises",
       "The same command again goes on where the run stopped: in the middle of an epoch, with the same samples, crops "
       "and, on the same kind of CPU, the same bits. Ctrl-C and SIGTERM save a checkpoint at the step they arrive in; "
       "a spot machine's notice does as well. kill -9 costs what came after the last checkpoint.\n\n"
       "  imgtrain drill --shards DIR --recipe fast     # rehearse it, with times\n"
       "  imgtrain ... --out runs/r1 --fresh            # begin anew, beside the old run\n"
       "  imgtrain ... --out runs/r1 --extend           # go on under another length\n\n"
       "SIGUSR1 asks where the time goes: kill -USR1 PID."},
      {"environment", "variables that are looked at",
       "  IMGTRAIN_LIBTORCH                   of the packaged program: torch's folder\n"
       "  CUDA_VISIBLE_DEVICES                the GPUs that may be used\n"
       "  RANK, WORLD_SIZE, LOCAL_RANK        this process of a training of several\n"
       "  MASTER_ADDR, MASTER_PORT            where they meet\n"
       "  GLOO_SOCKET_IFNAME                  the network interface between CPUs\n"
       "  AWS_EC2_METADATA_SERVICE_ENDPOINT   instead of 169.254.169.254\n"
       "  AWS_EC2_METADATA_DISABLED           true: no interruption notices\n"
       "  AWS_*, https_proxy, no_proxy        for URLs: `imgpack help environment`\n"
       "  TORCH_CPP_LOG_LEVEL                 what libtorch logs; errors only otherwise\n"
       "  NO_COLOR                            set to anything: no colour\n"}};
}

}  // namespace imgtrain
