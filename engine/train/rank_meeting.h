// How ranks find one another: a store that rank 0 or the launcher serves, a roll call over it, and the backend that
// their exchanges go through.
//
//   Launch --> TCPStore --> { every rank: I am here } --> rank 0: all are, or who is missing --> Gloo or NCCL
#pragma once

#include <torch/torch.h>

#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "engine/train/run/launch.h"
#include "engine/train/run/rank_watch.h"

namespace imgtrain {

struct Meeting {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::Backend> backend;
  std::shared_ptr<RankBoard> board;  // Over a connection of its own: the trainer's may be busy waiting.
  std::string host;                  // Name and address of this one.
};

// Returns when all ranks are there; `timeout` bounds that, and each exchange later. Throws Error(kIo) that names the
// ranks that are missing, Error(kUsage) where ranks disagree on their number, share a GPU, or the device has no
// backend.
Meeting meet_ranks(const Launch& launch, torch::Device device, std::chrono::milliseconds timeout);

std::string rank_text(int rank, int world);  // `rank 2 of 4`

// The first line of what a library threw; what follows is its stack.
std::string first_line(const std::exception& error);

}  // namespace imgtrain
