// How many threads everything in format/ingest uses together, while this object lives.
#pragma once

#include <cstdint>
#include <memory>

namespace imgpack::ingest {

// One at a time, made in a program's or test's outermost function. 0: every core that this process may use. More than
// the machine has is allowed.
class ThreadLimit {
 public:
  explicit ThreadLimit(uint32_t threads);
  ~ThreadLimit();
  ThreadLimit(const ThreadLimit&) = delete;
  ThreadLimit& operator=(const ThreadLimit&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

uint32_t threads_in_use();  // The limit in force, at least 1.

}  // namespace imgpack::ingest
