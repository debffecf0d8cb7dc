#include "engine/data/decode_arenas.h"

#include <sched.h>
#include <tbb/task_scheduler_observer.h>

#include <algorithm>
#include <string>
#include <utility>

#include "engine/data/tsan_handover.h"
#include "format/error.h"

namespace imgtrain::data {
namespace {

// Binds the calling thread; gives back what it was bound to before.
cpu_set_t bind_to(const std::vector<int>& cpus) {
  cpu_set_t before, wanted;
  CPU_ZERO(&before);
  CPU_ZERO(&wanted);
  sched_getaffinity(0, sizeof before, &before);
  for (const int cpu : cpus)
    if (cpu < CPU_SETSIZE) CPU_SET(static_cast<size_t>(cpu), &wanted);
  sched_setaffinity(0, sizeof wanted, &wanted);  // Where that is forbidden, memory is farther away: no error.
  return before;
}

}  // namespace

// Binds each worker for as long as it works in the arena: TBB lends the same threads to other arenas afterwards.
class DecodeArenas::Binding : public tbb::task_scheduler_observer {
 public:
  Binding(tbb::task_arena& arena, std::vector<int> here, std::vector<int> anywhere)
      : tbb::task_scheduler_observer(arena), here_(std::move(here)), anywhere_(std::move(anywhere)) {
    handover_given(this);
    observe(true);
  }
  ~Binding() override {
    observe(false);  // Waits for those that are on their way in or out.
    handover_taken(this);
  }
  void on_scheduler_entry(bool) override { move_to(here_); }
  void on_scheduler_exit(bool) override { move_to(anywhere_); }

 private:
  void move_to(const std::vector<int>& cpus) {
    handover_taken(this);
    bind_to(cpus);
    handover_given(this);
  }
  const std::vector<int> here_, anywhere_;
};

DecodeArenas::DecodeArenas(uint32_t threads, int node, const std::vector<NumaNode>& nodes) {
  std::vector<NumaNode> chosen;
  std::string known;
  std::vector<int> anywhere;
  for (const NumaNode& candidate : nodes) {
    anywhere.insert(anywhere.end(), candidate.cpus.begin(), candidate.cpus.end());
    if (node < 0 || candidate.id == node) chosen.push_back(candidate);
    known += (known.empty() ? "" : ", ") + std::to_string(candidate.id);
  }
  if (chosen.empty())
    throw imgpack::Error(imgpack::ErrorKind::kUsage, "no such NUMA node for this process: expected one of " + known +
                                                         ", found " + std::to_string(node));
  const bool bind = nodes.size() > 1;
  if (chosen.size() > threads) chosen.resize(std::max(1u, threads));
  uint64_t cores = 0, cores_before = 0, threads_before = 0;
  for (const NumaNode& place : chosen) cores += place.cpus.size();
  for (NumaNode& home : chosen) {
    auto place = std::make_unique<Place>();
    cores_before += home.cpus.size();
    // Every node gets one; sums of rounded shares, so that the total is right.
    const uint64_t left = chosen.size() - places_.size() - 1;
    // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): no node is without a core (numa.h).
    const uint64_t until = std::clamp<uint64_t>(threads * cores_before / cores, threads_before + 1, threads - left);
    place->threads = static_cast<uint32_t>(until - threads_before);
    threads_before = until;
    place->node = std::move(home);
    place->arena = std::make_unique<tbb::task_arena>(static_cast<int>(place->threads), 0);
    place->arena->initialize();
    if (bind) place->binding = std::make_unique<Binding>(*place->arena, place->node.cpus, anywhere);
    places_.push_back(std::move(place));
  }
}

DecodeArenas::~DecodeArenas() = default;

void DecodeArenas::enqueue(std::function<void()> task) {
  const auto waiting_at = [](Place& place) -> uint64_t {
    const std::lock_guard lock(place.mutex);
    return place.tasks.size();
  };
  Place* best = places_.front().get();
  uint64_t least = waiting_at(*best);
  for (size_t i = 1; i < places_.size(); ++i) {
    const uint64_t waiting = waiting_at(*places_[i]);
    if (waiting * best->threads >= least * places_[i]->threads) continue;
    best = places_[i].get();
    least = waiting;
  }
  {
    const std::lock_guard lock(best->mutex);
    best->tasks.push_back(std::move(task));
  }
  handover_given(best);
  best->arena->enqueue([best] { run_next(best); });
}

// Tasks are handed over under a mutex of our own: what TBB does to hand them over is nothing that ThreadSanitizer sees.
[[gnu::noinline]] void DecodeArenas::run_next(Place* place) {
  handover_taken(place);
  std::function<void()> task;
  {
    const std::lock_guard lock(place->mutex);
    task = std::move(place->tasks.front());
    place->tasks.pop_front();
  }
  task();  // Last: when it says that it has ended, this object may be gone.
}

void DecodeArenas::run_there(const std::function<void()>& work) const {
  const Place& place = *places_.front();
  if (place.binding == nullptr) return work();
  struct Restore {
    cpu_set_t before;
    ~Restore() { sched_setaffinity(0, sizeof before, &before); }
  } const restore{bind_to(place.node.cpus)};
  work();
}

}  // namespace imgtrain::data
