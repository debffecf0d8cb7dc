#include <ucontext.h>

#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "cuda_runtime.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace {
constexpr size_t kSharedFloats = 48 * 1024 / sizeof(float);  // What a block may have without being asked twice.
}

namespace imgtrain::kernels {
// The definition of what block_memory() declares.
extern float imgtrain_block_memory[];
alignas(16) float imgtrain_block_memory[kSharedFloats];
}  // namespace imgtrain::kernels

namespace emulated_cuda {
namespace {

constexpr size_t kStackBytes = 128 * 1024;
constexpr uint32_t kUntouched = 0x7fc0beef;  // A NaN of our own.

ThreadOrder order = ThreadOrder::kForward;
std::string violation;
uint64_t grids = 0;

void violate(const std::string& what) {
  if (violation.empty()) violation = what;
}

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<char[]> stack = std::make_unique<char[]>(kStackBytes);
  bool ended = true;
  void* fake_stack = nullptr;
};

// Fibers are made once; all blocks of all grids use them.
struct Scheduler {
  ucontext_t home{};
  void* home_fake_stack = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers;
  Fiber* running = nullptr;
  const std::function<void()>* thread = nullptr;
  std::mt19937 random{7};
  const void* home_stack = nullptr;
  size_t home_stack_bytes = 0;
};
Scheduler scheduler;

// AddressSanitizer has to be told whose stack is in use.
void enter(Fiber& fiber) {
  scheduler.running = &fiber;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&scheduler.home_fake_stack, fiber.stack.get(), kStackBytes);
#endif
  swapcontext(&scheduler.home, &fiber.context);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(scheduler.home_fake_stack, nullptr, nullptr);
#endif
}

void leave(Fiber& fiber, bool for_good) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fiber.fake_stack, scheduler.home_stack,
                                 scheduler.home_stack_bytes);
#else
  (void)for_good;
#endif
  swapcontext(&fiber.context, &scheduler.home);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fiber.fake_stack, &scheduler.home_stack, &scheduler.home_stack_bytes);
#endif
}

void fiber_main() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &scheduler.home_stack, &scheduler.home_stack_bytes);
#endif
  (*scheduler.thread)();
  scheduler.running->ended = true;
  leave(*scheduler.running, true);
}

std::vector<size_t> in_order(size_t count) {
  std::vector<size_t> list(count);
  std::iota(list.begin(), list.end(), size_t{0});
  if (order == ThreadOrder::kBackward) std::reverse(list.begin(), list.end());
  if (order == ThreadOrder::kShuffled) std::shuffle(list.begin(), list.end(), scheduler.random);
  return list;
}

uint3 place(size_t index, const dim3& extent) {
  const auto i = static_cast<unsigned>(index);
  return {i % extent.x, i / extent.x % extent.y, i / extent.x / extent.y};
}

void prepare(Fiber& fiber) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  fiber.ended = false;
  makecontext(&fiber.context, fiber_main, 0);
}

void run_block(size_t threads) {
  for (size_t i = 0; i < threads; ++i) prepare(*scheduler.fibers[i]);
  while (true) {
    size_t waiting = 0, ended = 0;
    for (const size_t i : in_order(threads)) {
      Fiber& fiber = *scheduler.fibers[i];
      if (!fiber.ended) {
        threadIdx = place(i, blockDim);
        enter(fiber);
      }
      (fiber.ended ? ended : waiting) += 1;
    }
    if (waiting == 0) return;
    if (ended != 0) violate("a barrier that some threads of a block reach and others have ended before");
  }
}

}  // namespace

void set_thread_order(ThreadOrder wanted) {
  order = wanted;
}

const char* take_violation() {
  static std::string taken;
  taken = violation;
  violation.clear();
  return taken.c_str();
}

uint64_t launches() {
  return grids;
}

cudaError_t run_grid(const cudaLaunchConfig_t& config, const std::function<void()>& thread) {
  float* const shared = imgtrain::kernels::imgtrain_block_memory;
  const size_t threads = size_t{config.blockDim.x} * config.blockDim.y * config.blockDim.z;
  const size_t blocks = size_t{config.gridDim.x} * config.gridDim.y * config.gridDim.z;
  if (threads == 0 || threads > 1024 || blocks == 0 || config.gridDim.y > 65535 || config.gridDim.z > 65535 ||
      config.dynamicSmemBytes > kSharedFloats * sizeof(float))
    return cudaErrorInvalidValue;
  ++grids;
  while (scheduler.fibers.size() < threads) scheduler.fibers.push_back(std::make_unique<Fiber>());
  scheduler.thread = &thread;
  blockDim = config.blockDim;
  gridDim = config.gridDim;
  const size_t asked = (config.dynamicSmemBytes + sizeof(float) - 1) / sizeof(float);
  for (const size_t block : in_order(blocks)) {
    blockIdx = place(block, gridDim);
    std::fill_n(shared, kSharedFloats, std::bit_cast<float>(kUntouched));
    run_block(threads);
    for (size_t i = asked; i < kSharedFloats; ++i)
      if (std::bit_cast<uint32_t>(shared[i]) != kUntouched)
        violate("a write to shared memory past what the launch asked for");
  }
  return cudaSuccess;
}

}  // namespace emulated_cuda

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "invalid value";
}

void __syncthreads() {
  emulated_cuda::Fiber& fiber = *emulated_cuda::scheduler.running;
  emulated_cuda::leave(fiber, false);
}
