// Data parallelism behind one small interface: one process per device, the same model in each.
//
//   Launch (engine/train/run/launch.h) -> make_gradient_sync -> broadcast -> { backward || all-reduce of full buckets }
//   -> finish
//
// Gradients are SUMS: every rank computes the sum of its samples' losses divided by the *global* batch, so that local
// batches may differ in size, and one rank may even have none. One thread (the trainer's) calls everything here but
// abort(); every rank calls the same functions in the same order.
#pragma once

#include <torch/torch.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/train/run/launch.h"
#include "engine/train/run/rank_watch.h"
#include "format/error.h"

namespace imgtrain {

namespace data {
class BatchPipeline;
}

struct GradientSyncOptions {
  uint64_t bucket_bytes = 25ull << 20;
  uint64_t first_bucket_bytes = 1ull << 20;  // Small, so that communication starts early in backward.
  bool compress_bf16 = false;                // Gradients travel as bfloat16: half the bytes, 8 bits of precision.
  std::chrono::seconds timeout{600};         // For the rendezvous and for each exchange.
  RankLimits limits;                         // Beyond which a rank is taken for lost, or for standing still.
  // Says at once, from another thread, which rank that is.
  std::function<void(const std::string&)> warn;
};

// Throws Error when an exchange fails or another rank is lost, stands still or failed, with the culprit's rank, host
// and stage where it can be found out (rank_watch.h), and of the kind that it failed with; the process should then end.
// Where it cannot, because it hangs elsewhere, it is ended a few seconds later with that message.
class GradientSync {
 public:
  virtual ~GradientSync() = default;
  virtual int rank() const = 0;
  virtual int world() const = 0;

  // Rank 0's values go to everyone.
  virtual void broadcast(const std::vector<torch::Tensor>& tensors) = 0;
  // Takes the gradients of these parameters under its care: after attach() and after finish() every one of them has a
  // gradient with its own strides. Where ranks exchange them, they are views of buckets and stay the same tensors;
  // otherwise every step has new ones. Call once, after the model is on its device and in its memory format. Zero
  // gradients with zero_gradients() only.
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
  // Rank 0's text is everyone's result.
  virtual std::string share(const std::string& text) = 0;
  // Any thread: gives up. On CUDA exchanges in flight end with an error; Gloo's end on the other ranks when this
  // process does, which should be next.
  virtual void abort() = 0;

  // Of gradients, on this rank, in the last step whose gradients were exchanged.
  virtual uint64_t bytes_per_step() const = 0;
  // Between record(true) and record(false) exchanges are not done but noted by a StepRecorder: what fails there is
  // thrown as it is and says nothing about other ranks.
  virtual void record(bool on) = 0;

  // What the other ranks should know of this one; see RankWatch. Alone there is nobody to tell.
  virtual void enter(RankStage stage, std::function<double()> read_seconds = {}) = 0;
  virtual void at_step(uint64_t step) = 0;
  // Throws where a rank is lost. What exchanges made before are whole where it does not: an exchange in flight may be
  // cut short when one is, and leave anything behind.
  virtual void require_all() = 0;
  // The run ends with this error: the others hear of it, and of whose fault it is, before this returns.
  virtual void fail(const imgpack::Error& error) = 0;
  // It ended well: the others go on without this rank.
  virtual void finish_run() = 0;
};

// The largest of the ranks' numbers, on all of them. The host waits for the device.
double largest_over_ranks(GradientSync& sync, double number, torch::Device device);

// Tells the others that this rank waits for what `pipeline` reads and decodes while it lives.
class InputWait {
 public:
  InputWait(GradientSync& sync, const data::BatchPipeline& pipeline);
  ~InputWait();
  InputWait(const InputWait&) = delete;
  InputWait& operator=(const InputWait&) = delete;

 private:
  GradientSync& sync_;
  const int exceptions_;
};

// A world of one needs no network; else Gloo where `device` is the CPU and NCCL on CUDA. Returns when all ranks are
// there. Throws Error(kIo) if they are not within the timeout, Error(kUsage) if the running libtorch is not the pinned
// version.
std::unique_ptr<GradientSync> make_gradient_sync(const Launch& launch, torch::Device device,
                                                 const GradientSyncOptions& options = {});

}  // namespace imgtrain
