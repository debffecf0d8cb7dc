// Data parallelism behind one small interface: one process per device, the same model in each.
//
//   Launch (from the environment) -> make_gradient_sync -> broadcast -> { backward || all-reduce of full buckets } ->
//   finish
//
// Gradients are SUMS: every rank computes the sum of its samples' losses divided by the *global* batch, so that local
// batches may differ in size, and one rank may even have none. One thread (the trainer's) calls everything here but
// abort(); every rank calls the same functions in the same order.
#pragma once

#include <torch/torch.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace imgtrain {

// Which process of how many this is, and where they meet.
struct Launch {
  int rank = 0, world = 1;
  int local_rank = 0, local_world = 1;  // Among the processes of this host.
  std::string master_address = "127.0.0.1";
  uint16_t master_port = 29500;
  std::string launcher = "none";  // "torchrun", "slurm" or "none": for the log.
};

// From RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT (torchrun; imgtrain --gpus sets the
// same), else from SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID, …; else one process. Error(kUsage) names the variable
// that is missing, not a number or out of range.
Launch launch_from_environment();
Launch launch_from(const std::map<std::string, std::string>& environment);  // The same, for tests.

struct GradientSyncOptions {
  uint64_t bucket_bytes = 25ull << 20;
  uint64_t first_bucket_bytes = 1ull << 20;  // Small, so that communication starts early in backward.
  bool compress_bf16 = false;                // Gradients travel as bfloat16: half the bytes, 8 bits of precision.
  std::chrono::seconds timeout{600};         // For the rendezvous and for each exchange.
};

// Throws Error(kIo) naming rank and stage when an exchange fails or times out; the process should then end.
class GradientSync {
 public:
  virtual ~GradientSync() = default;
  virtual int rank() const = 0;
  virtual int world() const = 0;

  // Rank 0's values go to everyone.
  virtual void broadcast(const std::vector<torch::Tensor>& tensors) = 0;
  // Takes the gradients of these parameters under its care: grad() becomes (a view of a bucket, zeros) and stays.
  // Call once, after the model is on its device and in its memory format. Zero gradients with zero_gradients() only.
  virtual void attach(const std::vector<torch::Tensor>& parameters) = 0;
  virtual void zero_gradients() = 0;
  // Before each backward pass: whether it is the last of the step, whose gradients are exchanged while it runs.
  virtual void begin_backward(bool last_of_step) = 0;
  // After the last backward of a step (or instead of it, on a rank without samples): all gradients are summed over
  // ranks. On CUDA the work may still be running; it is ordered before whatever the current stream gets next.
  virtual void finish() = 0;

  // Sums / takes the largest over ranks, in place. Returns when the result can be used on the current stream.
  virtual void all_reduce_sum(torch::Tensor& tensor) = 0;
  virtual void all_reduce_max(torch::Tensor& tensor) = 0;
  virtual void barrier() = 0;
  // Any thread: ends exchanges in flight with an error, here and thereby on the other ranks.
  virtual void abort() = 0;

  virtual uint64_t bytes_exchanged() const = 0;  // Of gradients, on this rank, since attach().
};

// A world of one needs no network; else Gloo where `device` is the CPU and NCCL on CUDA. Returns when all ranks are
// there. Throws Error(kIo) if they are not within the timeout, Error(kUsage) if the running libtorch is not the pinned
// version.
std::unique_ptr<GradientSync> make_gradient_sync(const Launch& launch, torch::Device device,
                                                 const GradientSyncOptions& options = {});

}  // namespace imgtrain
