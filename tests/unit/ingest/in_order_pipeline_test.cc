#include "format/ingest/in_order_pipeline.h"

#include <gmock/gmock.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace imgpack::ingest {
namespace {

std::atomic<int> alive{0};

struct Item {
  Item() { ++alive; }
  ~Item() { --alive; }
  int number = 0, twice = 0;
  MemoryBudget::Lease lease;
};

// Items 0 to count - 1, each with a lease of `bytes`.
auto items(MemoryBudget& budget, int count, uint64_t bytes) {
  return [&budget, count, bytes, number = 0]() mutable -> std::unique_ptr<Item> {
    if (number == count) return nullptr;
    auto item = std::make_unique<Item>();
    item->number = number++;
    item->lease = budget.acquire(bytes);
    return item;
  };
}

TEST(InOrderPipeline, KeepsEveryItemInTheOrderInWhichItBegan) {
  MemoryBudget budget(10);
  std::vector<int> kept;
  run_in_order<Item>(
      budget, items(budget, 1000, 3), [](Item& item) { item.twice = 2 * item.number; },
      [&](const Item& item) { kept.push_back(item.twice); });
  ASSERT_EQ(kept.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(kept[static_cast<size_t>(i)], 2 * i);
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(budget.admitted(), 0u);
}

// Two items fit at once, so that the third is waited for when the failure comes.
TEST(InOrderPipeline, AFailureOfAnyStageEndsItWithTheBudgetInUseAndNothingLeft) {
  for (int stage = 0; stage < 3; ++stage) {
    for (int failing : {0, 1, 7}) {
      MemoryBudget budget(10);
      auto make = items(budget, 100, 4);
      const auto fail_at = [&](int number) {
        if (number == failing) throw std::runtime_error("stage " + std::to_string(stage));
      };
      try {
        run_in_order<Item>(
            budget,
            [&] {
              auto item = make();
              if (stage == 0) fail_at(item->number);
              return item;
            },
            [&](Item& item) {
              if (stage == 1) fail_at(item.number);
            },
            [&](Item& item) {
              if (stage == 2) fail_at(item.number);
            });
        ADD_FAILURE() << "the failure was lost";
      } catch (const std::runtime_error& error) {
        EXPECT_EQ(error.what(), "stage " + std::to_string(stage));
      }
      EXPECT_EQ(alive, 0) << stage << " " << failing;
      EXPECT_EQ(budget.admitted(), 0u);
    }
  }
}

}  // namespace
}  // namespace imgpack::ingest
