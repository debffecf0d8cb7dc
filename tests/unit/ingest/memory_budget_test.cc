#include "format/ingest/memory_budget.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace imgpack::ingest {
namespace {

TEST(MemoryBudget, AdmitsWhatFitsAndTakesItBack) {
  MemoryBudget budget(100);
  {
    const auto a = budget.acquire(60), b = budget.acquire(40);
    EXPECT_EQ(budget.admitted(), 100u);
  }
  EXPECT_EQ(budget.admitted(), 0u);
}

TEST(MemoryBudget, MovedLeaseIsGivenBackOnce) {
  MemoryBudget budget(100);
  auto lease = budget.acquire(60);
  auto other = std::move(lease);
  lease = budget.acquire(10);
  EXPECT_EQ(budget.admitted(), 70u);
  other.release();
  other.release();
  EXPECT_EQ(budget.admitted(), 10u);
}

TEST(MemoryBudget, GiantIsAdmittedAlone) {
  MemoryBudget budget(100);
  auto small = budget.acquire(1);
  std::atomic<bool> admitted{false};
  std::thread giant([&] {
    const auto lease = budget.acquire(1'000);
    admitted = true;
  });
  EXPECT_FALSE(admitted);
  small.release();
  giant.join();
  EXPECT_TRUE(admitted);
  EXPECT_EQ(budget.admitted(), 0u);
}

TEST(MemoryBudget, ManyThreadsNeverHoldMoreThanTheBudget) {
  MemoryBudget budget(10);
  std::atomic<int> held{0}, most{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const int bytes = 1 + (t + i) % 6;
        const auto lease = budget.acquire(static_cast<uint64_t>(bytes));
        const int now = held += bytes;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        held -= bytes;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, 10);
}

}  // namespace
}  // namespace imgpack::ingest
