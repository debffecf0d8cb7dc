// Three stages over items of memory that is bounded: one after another into being, prepared on many threads, and kept
// one after another in the order in which they began.
//
//   next (serial) --lease of the budget--> work (parallel) --> keep (serial, in order)
#pragma once

#include <tbb/parallel_pipeline.h>

#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "format/ingest/memory_budget.h"
#include "format/ingest/thread_limit.h"

namespace imgpack::ingest {

// Owns what is on its way: TBB forgets the tokens of a pipeline that ended by an exception. Thread-safe.
template <class Item>
class ItemsInFlight {
 public:
  Item* add(std::unique_ptr<Item> item) {
    Item* const key = item.get();
    const std::lock_guard lock(mutex_);
    items_.emplace(key, std::move(item));
    return key;
  }
  std::unique_ptr<Item> take(Item* item) {
    const std::lock_guard lock(mutex_);
    return std::move(items_.extract(item).mapped());
  }

 private:
  std::mutex mutex_;
  std::unordered_map<Item*, std::unique_ptr<Item>> items_;
};

// `next()` gives a std::unique_ptr<Item>, null at the end, and may wait for `budget`, of which items hold leases.
// `work(Item&)` and `keep(Item&)` as above; an item is gone after `keep`. What any of them throws ends the pipeline and
// comes out of here, when no thread is at work any more.
template <class Item, class Next, class Work, class Keep>
void run_in_order(MemoryBudget& budget, Next next, Work work, Keep keep) {
  ItemsInFlight<Item> items;
  // Items that nobody will keep hold their leases until the pipeline has ended: who waits for one is let through.
  const auto or_lift = [&](auto&& stage) {
    try {
      return stage();
    } catch (...) {
      budget.lift();
      throw;
    }
  };
  tbb::parallel_pipeline(
      8 + 4 * threads_in_use(),
      tbb::make_filter<void, Item*>(tbb::filter_mode::serial_in_order, [&](tbb::flow_control& control) -> Item* {
        std::unique_ptr<Item> item = or_lift(next);
        if (item == nullptr) {
          control.stop();
          return nullptr;
        }
        return items.add(std::move(item));
      }) & tbb::make_filter<Item*, Item*>(tbb::filter_mode::parallel, [&](Item* item) {
        or_lift([&] { work(*item); });
        return item;
      }) & tbb::make_filter<Item*, void>(tbb::filter_mode::serial_in_order, [&](Item* item) {
        const std::unique_ptr<Item> owned = items.take(item);
        or_lift([&] { keep(*owned); });
      }));
}

}  // namespace imgpack::ingest
