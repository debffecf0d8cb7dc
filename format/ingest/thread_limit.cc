#include "format/ingest/thread_limit.h"

#include <tbb/global_control.h>
#include <tbb/info.h>

namespace imgpack::ingest {

struct ThreadLimit::State {
  explicit State(uint32_t threads) : control(tbb::global_control::max_allowed_parallelism, threads) {}
  tbb::global_control control;
};

ThreadLimit::ThreadLimit(uint32_t threads)
    : state_(std::make_unique<State>(threads > 0 ? threads : static_cast<uint32_t>(tbb::info::default_concurrency()))) {
}

ThreadLimit::~ThreadLimit() = default;

uint32_t threads_in_use() {
  const auto limit = tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism);
  return limit > 0 ? static_cast<uint32_t>(limit) : 1;
}

}  // namespace imgpack::ingest
