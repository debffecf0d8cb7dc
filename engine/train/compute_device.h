// Where a run computes: device, threads, and page-locked memory for what travels to it.
#pragma once

#include <torch/torch.h>

#include <memory>

#include "engine/data/batch_pipeline.h"
#include "engine/train/data_parallel.h"
#include "engine/train/run/input_options.h"
#include "engine/train/run/run_config.h"
#include "engine/train/run/run_state.h"

namespace imgtrain {

// kAuto: CUDA device `local_rank` where there is one. Throws Error(kUsage) where CUDA is asked for and missing, or fp16
// is asked for without it.
torch::Device choose_device(const RunConfig& config, int local_rank = 0);

// Compute threads of this process (0: all cores it may use, shared among `local_world` processes), and the settings of
// libtorch that a training run wants. Call once, before the first tensor operation.
int64_t configure_compute(const RunConfig& config, torch::Device device, int local_world = 1);

// Decoding threads where the configuration leaves the choice (0): all cores of this process's share beside a CUDA
// device. Where the CPU itself computes, an eighth: decoding costs little next to a network there, while a decoder that
// takes a core away for a moment makes every compute thread wait at the end of its loop.
int64_t choose_input_threads(const RunConfig& config, torch::Device device, int local_world = 1);

// This rank, and the NUMA node that its GPU hangs on where this machine's ranks can each stay beside theirs.
Share input_share(const GradientSync& sync, torch::Device device);

MachineFacts machine_facts(torch::Device device, int64_t threads, int64_t world);

// Memory for batch slots: page-locked on CUDA, so that copies run beside computation; heap_slots() on the CPU.
std::shared_ptr<data::SlotAllocator> slot_memory(torch::Device device);

}  // namespace imgtrain
