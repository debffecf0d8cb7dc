// A model without a model: an image is its text, and its guesses follow from its length. `bad` is no image, `broken`
// makes the model fail.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "engine/serve/prediction_service.h"
#include "format/error.h"

namespace imgtrain::serve {

class FakeService : public PredictionService {
 public:
  struct Image : PreparedImage {
    explicit Image(std::string_view from) : text(from) {}
    std::string text;
  };

  ModelInfo info() const override { return {"fake18", 10, 32, 36, "fake.safetensors", "0123", "cpu"}; }

  std::unique_ptr<PreparedImage> prepare(std::string_view bytes) override {
    if (bytes == "bad") throw imgpack::Error(imgpack::ErrorKind::kInvalidInput, "not an image");
    return std::make_unique<Image>(bytes);
  }

  std::vector<std::vector<Guess>> predict(const std::vector<const PreparedImage*>& images, size_t top) override {
    wait_for_gate();
    {
      const std::lock_guard lock(mutex_);
      batches_.push_back(images.size());
    }
    std::vector<std::vector<Guess>> all;
    for (const PreparedImage* image : images) {
      const std::string& text = static_cast<const Image*>(image)->text;
      if (text == "broken") throw imgpack::Error(imgpack::ErrorKind::kInternal, "the model broke");
      std::vector<Guess> guesses;
      for (size_t i = 0; i < top; ++i) {
        const int64_t index = static_cast<int64_t>((text.size() + i) % 10);
        guesses.push_back(
            {index, "n0000000" + std::to_string(index), "class " + std::to_string(index), 0.5 / (1.0 + i)});
      }
      all.push_back(std::move(guesses));
    }
    return all;
  }

  Picture explain(const PreparedImage& image, std::optional<int64_t> label) override {
    wait_for_gate();
    const std::string& text = static_cast<const Image&>(image).text;
    if (text == "broken") throw imgpack::Error(imgpack::ErrorKind::kInternal, "the model broke");
    const int64_t index = label.value_or(static_cast<int64_t>(text.size() % 10));
    return {"image/png", "picture of " + text, index, "class " + std::to_string(index)};
  }

  // While it is shut, the model does not get to work.
  void shut() {
    const std::lock_guard lock(mutex_);
    shut_ = true;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    shut_ = false;
    changed_.notify_all();
  }
  void wait_until_waiting() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ > 0; });
  }
  std::vector<size_t> batches() {
    const std::lock_guard lock(mutex_);
    return batches_;
  }

 private:
  void wait_for_gate() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !shut_; });
    --waiting_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool shut_ = false;
  int waiting_ = 0;
  std::vector<size_t> batches_;
};

}  // namespace imgtrain::serve
