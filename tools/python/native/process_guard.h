// Threads do not survive fork(): what owns some must not be used, nor waited for, in a child that inherited it.
//
//   parent: pipeline with threads --fork--> child: the same object, without its threads  => refuse, never wait, leak
#pragma once

#include <sys/types.h>

namespace imgpack::python {

// Remembers the process in which it was made.
class ProcessGuard {
 public:
  ProcessGuard();
  bool inherited() const;  // This is another process now.
  void check() const;      // Throws Error(kUsage) in another process.

 private:
  const pid_t made_in_;
};

// Called before the first thread of this library begins. Throws Error(kUsage) in a process that was forked from one
// whose threads had begun: the thread pool, which is one per process, believes that it still has them.
void claim_threads();

}  // namespace imgpack::python
