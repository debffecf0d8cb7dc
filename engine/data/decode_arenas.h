// DecodeArenas is where decoding runs: one TBB arena per NUMA node, its threads bound to the node's CPUs.
//
//   enqueue(task) --the arena with the least waiting per thread--> TBB worker, bound while it is in the arena
#pragma once

#include <tbb/task_arena.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/data/numa.h"

namespace imgtrain::data {

// enqueue() may be called from any thread.
class DecodeArenas {
 public:
  // `threads` in all, spread over the nodes by their cores (no more arenas than threads). `node`: NumaNode::id to stay
  // on, -1 for all of `nodes`. One node to choose from: one arena, not bound. Throws Error(kUsage) for a node that is
  // not there.
  DecodeArenas(uint32_t threads, int node, const std::vector<NumaNode>& nodes = numa_nodes());
  // REQUIRES: every task has ended.
  ~DecodeArenas();
  DecodeArenas(const DecodeArenas&) = delete;
  DecodeArenas& operator=(const DecodeArenas&) = delete;

  // Fire and forget. `task` must not throw.
  void enqueue(std::function<void()> task);

  // Calls `work` on this thread, bound to the first arena's node meanwhile, so that memory it touches lies there.
  void run_there(const std::function<void()>& work) const;

  size_t arenas() const { return places_.size(); }

 private:
  class Binding;
  struct Place {
    NumaNode node;
    uint32_t threads = 1;
    std::unique_ptr<tbb::task_arena> arena;
    std::unique_ptr<Binding> binding;  // nullptr: threads run anywhere.
    std::mutex mutex;
    std::deque<std::function<void()>> tasks;  // Not begun: there is a task of TBB's for each, which takes the next one.
  };
  static void run_next(Place* place);
  std::vector<std::unique_ptr<Place>> places_;
};

}  // namespace imgtrain::data
