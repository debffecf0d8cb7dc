#include "engine/data/numa.h"

#include <gmock/gmock.h>
#include <sched.h>

#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <numeric>
#include <set>

#include "engine/data/decode_arenas.h"
#include "engine/data/worker_share.h"
#include "tests/support/expect_error.h"

// TBB frees what it knows of an observer when the last worker that met it looks up again, which at the end of a program
// may be never.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:tbb::detail::r1::observe\n";
}

namespace imgtrain::data {
namespace {

using imgpack::ErrorKind;
using testing::ElementsAre;

std::vector<int> cpus(int first, int count) {
  std::vector<int> list(static_cast<size_t>(count));
  std::iota(list.begin(), list.end(), first);
  return list;
}

TEST(Numa, ReadsTheKernelsListsOfCpus) {
  EXPECT_THAT(parse_cpu_list("0-3,8,10-11\n"), ElementsAre(0, 1, 2, 3, 8, 10, 11));
  EXPECT_THAT(parse_cpu_list("5"), ElementsAre(5));
  EXPECT_TRUE(parse_cpu_list("\n").empty());
  for (const char* wrong : {"3-1", "a", "1,,2", "-1", "1-", "99999999999"})
    EXPECT_ERROR(parse_cpu_list(wrong), ErrorKind::kInvalidInput, "list of CPUs");
}

TEST(Numa, KnowsTheNodesThatThisProcessMayRunOn) {
  std::string folder = (std::filesystem::temp_directory_path() / "numa_test-XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const auto write = [&](const std::string& node, const std::string& list) {
    std::filesystem::create_directories(folder + "/" + node);
    std::ofstream(folder + "/" + node + "/cpulist") << list << "\n";
  };
  write("node1", "4-7");
  write("node0", "0-3");
  write("node2", "");  // Memory without CPUs.
  write("nodes", "0-7");
  const auto all = numa_nodes(folder, cpus(0, 8));
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].id, 0);
  EXPECT_THAT(all[1].cpus, ElementsAre(4, 5, 6, 7));
  const auto some = numa_nodes(folder, {5, 6});
  ASSERT_EQ(some.size(), 1u);
  EXPECT_EQ(some[0].id, 1);
  EXPECT_THAT(some[0].cpus, ElementsAre(5, 6));
  std::filesystem::remove_all(folder);
  const auto unknown = numa_nodes(folder, {0, 1});
  ASSERT_EQ(unknown.size(), 1u);
  EXPECT_THAT(unknown[0].cpus, ElementsAre(0, 1));
  EXPECT_FALSE(numa_nodes().empty());
}

TEST(ShareCores, RanksStayBesideTheirGpusWhereThatCostsThemLittle) {
  const std::vector<NumaNode> two = {{0, cpus(0, 24)}, {1, cpus(24, 24)}};
  const std::vector<int> spread = {0, 0, 1, 1};
  for (uint32_t rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(share_cores(two, spread, rank).threads, 12u);
    EXPECT_EQ(share_cores(two, spread, rank).node, rank < 2 ? 0 : 1);
  }
  // All on one socket: half of the machine would be idle.
  EXPECT_EQ(share_cores(two, {0, 0}, 1).node, -1);
  EXPECT_EQ(share_cores(two, {0, 0}, 1).threads, 24u);
  // One GPU alone: the whole machine.
  EXPECT_EQ(share_cores(two, {1}, 0).node, -1);
  EXPECT_EQ(share_cores(two, {1}, 0).threads, 48u);
  // A node that is not known, or not among those of this process.
  EXPECT_EQ(share_cores(two, {0, -1}, 0).node, -1);
  EXPECT_EQ(share_cores(two, {0, 7}, 0).node, -1);
}

TEST(ShareCores, SharesAddUpToAllCores) {
  for (const uint32_t cores : {1u, 2u, 7u, 48u, 96u}) {
    for (const size_t ranks : {1u, 2u, 3u, 4u, 8u}) {
      const std::vector<NumaNode> one = {{0, cpus(0, static_cast<int>(cores))}};
      uint32_t sum = 0, smallest = ~0u, largest = 0;
      for (uint32_t rank = 0; rank < ranks; ++rank) {
        const CoreShare share = share_cores(one, std::vector<int>(ranks, 0), rank);
        EXPECT_EQ(share.node, -1);
        sum += share.threads;
        smallest = std::min(smallest, share.threads);
        largest = std::max(largest, share.threads);
      }
      EXPECT_EQ(sum, std::max<uint32_t>(cores, static_cast<uint32_t>(ranks)));
      EXPECT_LE(largest - smallest, 1u);
    }
  }
}

// Runs `count` tasks and says on which CPUs.
std::set<int> cpus_of(DecodeArenas& arenas, int count) {
  std::mutex mutex;
  std::condition_variable ended;
  std::set<int> seen;
  int left = count;
  for (int i = 0; i < count; ++i) {
    arenas.enqueue([&] {
      const int cpu = sched_getcpu();
      const std::lock_guard lock(mutex);
      seen.insert(cpu);
      if (--left == 0) ended.notify_all();
    });
  }
  std::unique_lock lock(mutex);
  ended.wait(lock, [&] { return left == 0; });
  return seen;
}

TEST(DecodeArenas, OneForEveryNodeWithThreadsByItsCores) {
  const WorkerShare share(8);
  const std::vector<NumaNode> nodes = {{0, {0}}, {1, {0}}, {2, {0}}};
  EXPECT_EQ(DecodeArenas(8, -1, nodes).arenas(), 3u);
  EXPECT_EQ(DecodeArenas(2, -1, nodes).arenas(), 2u);  // No arena without a thread.
  EXPECT_EQ(DecodeArenas(8, 1, nodes).arenas(), 1u);
  EXPECT_EQ(DecodeArenas(1, -1).arenas(), 1u);
  EXPECT_ERROR(DecodeArenas(8, 3, nodes), ErrorKind::kUsage, "expected one of 0, 1, 2, found 3");
  DecodeArenas arenas(8, -1, nodes);
  EXPECT_FALSE(cpus_of(arenas, 1000).empty());
}

TEST(DecodeArenas, ThreadsStayOnTheirNode) {
  const std::vector<NumaNode>& here = numa_nodes();
  if (here.front().cpus.size() < 2) GTEST_SKIP() << "this process may use one CPU alone";
  const int first = here.front().cpus[0], second = here.front().cpus[1];
  const WorkerShare share(4);
  const std::vector<NumaNode> nodes = {{0, {first}}, {1, {second}}};
  {
    DecodeArenas bound(2, 1, nodes);
    EXPECT_THAT(cpus_of(bound, 200), ElementsAre(second));
    int cpu = -1;
    bound.run_there([&] { cpu = sched_getcpu(); });
    EXPECT_EQ(cpu, second);
  }
  cpu_set_t after;
  CPU_ZERO(&after);
  sched_getaffinity(0, sizeof after, &after);
  EXPECT_TRUE(CPU_ISSET(static_cast<size_t>(first), &after));  // This thread is free again.
}

}  // namespace
}  // namespace imgtrain::data
