#include "engine/data/worker_share.h"

#include <tbb/global_control.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <thread>

namespace imgtrain::data {
namespace {

struct Registry {
  std::mutex mutex;
  uint64_t threads = 0;
  std::unique_ptr<tbb::global_control> control;

  // TBB obeys the smallest of all controls, so the old one goes first.
  void apply() {
    control.reset();
    if (threads == 0) return;
    const uint64_t wanted = std::max<uint64_t>(threads + 1, std::thread::hardware_concurrency());
    control = std::make_unique<tbb::global_control>(tbb::global_control::max_allowed_parallelism, wanted);
  }
};

Registry& registry() {
  static Registry registry;
  return registry;
}

}  // namespace

WorkerShare::WorkerShare(uint32_t threads) : threads_(threads) {
  const std::lock_guard lock(registry().mutex);
  registry().threads += threads_;
  registry().apply();
}

WorkerShare::~WorkerShare() {
  const std::lock_guard lock(registry().mutex);
  registry().threads -= threads_;
  registry().apply();
}

}  // namespace imgtrain::data
