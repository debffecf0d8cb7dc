// Reads with pread on threads of their own: works on every file system, and on everything that tests put in its place.
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <thread>

#include "engine/data/read_engine.h"
#include "format/error.h"

namespace imgtrain::data {
namespace {

class ThreadReadEngine final : public ReadEngine {
 public:
  explicit ThreadReadEngine(uint32_t threads) {
    for (uint32_t i = 0; i < std::max(threads, 1u); ++i) threads_.emplace_back([this] { run(); });
  }

  ~ThreadReadEngine() override {
    cancel_queued();
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void submit(std::shared_ptr<ReadTask> task) override {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(task));
    }
    work_.notify_one();
  }

  void cancel_queued() override {
    std::deque<std::shared_ptr<ReadTask>> dropped;
    {
      const std::lock_guard lock(mutex_);
      dropped.swap(queue_);
    }
    for (const auto& task : dropped) {
      task->end(std::make_exception_ptr(imgpack::Error(imgpack::ErrorKind::kInterrupted, "reading was cancelled")));
    }
  }

  ReadCounters counters() const override { return meter_.counters(); }
  const char* name() const override { return "threads"; }

 private:
  void run() {
    for (;;) {
      std::shared_ptr<ReadTask> task;
      {
        std::unique_lock lock(mutex_);
        work_.wait(lock, [&] { return stop_ || !queue_.empty(); });
        if (queue_.empty()) return;
        task = std::move(queue_.front());
        queue_.pop_front();
      }
      std::exception_ptr error;
      meter_.begin_task();
      try {
        read(*task);
      } catch (...) {
        error = std::current_exception();
      }
      meter_.end_task();
      task->end(error);
    }
  }

  void read(ReadTask& task) {
    const ReadJob job = task.begin();
    // The kernel fetches the whole block at once rather than one window of its own read-ahead after another.
    for (const ReadPart& part : job.parts) job.file->expect_read(part.offset, part.to.size());
    for (const ReadPart& part : job.parts) {
      require_enough(part, job.file->read_at(part.offset, part.to), *job.file);
      meter_.count(part.to.size());
    }
  }

  ReadMeter meter_;
  std::mutex mutex_;
  std::condition_variable work_;
  bool stop_ = false;
  std::deque<std::shared_ptr<ReadTask>> queue_;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<ReadEngine> make_thread_engine(uint32_t threads) {
  return std::make_unique<ThreadReadEngine>(threads);
}

}  // namespace imgtrain::data
