// Batcher: images that arrive one by one go through the model together.
//
//   predict(images) ─┐                        (any thread)
//   predict(images) ─┴> queue -max_batch images, or max_delay after the first-> service.predict() -> done()
//   explain(image) ───> queue ------------------------------------------------> service.explain() -> done()
//
// The model runs on one thread, which this owns. How many images wait is bounded by whoever lets them in (admission.h).
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "engine/serve/prediction_service.h"

namespace imgtrain::serve {

struct BatchOptions {
  size_t max_batch = 16;
  std::chrono::microseconds max_delay{2000};  // That an image waits for others to come.
};

struct PredictionResult {
  std::vector<std::vector<Guess>> guesses;  // In the order of the images.
  double wait_seconds = 0, model_seconds = 0;
  size_t largest_batch = 0;   // That any of the images was in.
  std::exception_ptr failed;  // Null: none.
};

struct ExplainResult {
  Picture picture;
  double wait_seconds = 0, model_seconds = 0;
  std::exception_ptr failed;
};

// Thread-safe. `done` is called from the model's thread, exactly once, also where the model throws.
class Batcher {
 public:
  using Images = std::vector<std::unique_ptr<PreparedImage>>;
  using OnBatch = std::function<void(size_t images, double seconds)>;

  Batcher(PredictionService& service, const BatchOptions& options, OnBatch on_batch = {});
  ~Batcher();  // stop().
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // REQUIRES: images is not empty; stop() has not been called.
  void predict(Images images, size_t top, std::function<void(PredictionResult)> done);
  void explain(std::unique_ptr<PreparedImage> image, std::optional<int64_t> label,
               std::function<void(ExplainResult)> done);

  void stop();  // Answers what is queued, then returns.

 private:
  using Clock = std::chrono::steady_clock;
  struct Job;    // A call of predict().
  struct Entry;  // An image of one, or a call of explain().

  void work();
  void run_batch(std::vector<Entry>& batch);
  void run_explain(Entry& entry);

  PredictionService& service_;
  const BatchOptions options_;
  const OnBatch on_batch_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Entry> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace imgtrain::serve
