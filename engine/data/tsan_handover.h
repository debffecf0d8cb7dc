// Tells ThreadSanitizer of a hand-over between threads that it cannot see, because a library that is not compiled with
// it does the handing over. Nothing in other builds.
#pragma once

#ifdef __SANITIZE_THREAD__
extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace imgtrain::data {

// What this thread has written is there for whoever calls handover_taken() of the same object.
inline void handover_given([[maybe_unused]] void* object) {
#ifdef __SANITIZE_THREAD__
  __tsan_release(object);
#endif
}

inline void handover_taken([[maybe_unused]] void* object) {
#ifdef __SANITIZE_THREAD__
  __tsan_acquire(object);
#endif
}

}  // namespace imgtrain::data
