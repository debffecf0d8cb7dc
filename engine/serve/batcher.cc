#include "engine/serve/batcher.h"

#include <algorithm>
#include <utility>

namespace imgtrain::serve {
namespace {

double seconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

struct Batcher::Job {
  Images images;
  size_t top = 0;
  size_t missing = 0;  // Images without guesses yet.
  PredictionResult result;
  std::function<void(PredictionResult)> done;
};

struct Batcher::Entry {
  Clock::time_point arrived;
  // Of predict().
  std::shared_ptr<Job> job;
  size_t index = 0;
  // Of explain().
  std::unique_ptr<PreparedImage> image;
  std::optional<int64_t> label;
  std::function<void(ExplainResult)> explained;
};

Batcher::Batcher(PredictionService& service, const BatchOptions& options, OnBatch on_batch)
    : service_(service), options_(options), on_batch_(std::move(on_batch)), thread_([this] { work(); }) {}

Batcher::~Batcher() {
  stop();
}

void Batcher::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  arrived_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Batcher::predict(Images images, size_t top, std::function<void(PredictionResult)> done) {
  auto job = std::make_shared<Job>();
  job->images = std::move(images);
  job->top = top;
  job->missing = job->images.size();
  job->result.guesses.resize(job->missing);
  job->done = std::move(done);
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < job->images.size(); ++i) {
      Entry entry;
      entry.arrived = Clock::now();
      entry.job = job;
      entry.index = i;
      queue_.push_back(std::move(entry));
    }
  }
  arrived_.notify_one();
}

void Batcher::explain(std::unique_ptr<PreparedImage> image, std::optional<int64_t> label,
                      std::function<void(ExplainResult)> done) {
  Entry entry;
  entry.arrived = Clock::now();
  entry.image = std::move(image);
  entry.label = label;
  entry.explained = std::move(done);
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(entry));
  }
  arrived_.notify_one();
}

void Batcher::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    arrived_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    if (queue_.front().explained) {
      Entry entry = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      run_explain(entry);
      lock.lock();
      continue;
    }
    // An explanation behind them ends a batch: it must not wait for images that come after it.
    const auto ready = [&] {
      const auto stop = std::find_if(queue_.begin(), queue_.end(), [](const Entry& e) { return bool(e.explained); });
      return stopping_ || stop != queue_.end() || queue_.size() >= options_.max_batch;
    };
    arrived_.wait_until(lock, queue_.front().arrived + options_.max_delay, ready);
    std::vector<Entry> batch;
    while (!queue_.empty() && !queue_.front().explained && batch.size() < options_.max_batch) {
      batch.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    lock.unlock();
    run_batch(batch);
    batch.clear();
    lock.lock();
  }
}

void Batcher::run_batch(std::vector<Entry>& batch) {
  const Clock::time_point start = Clock::now();
  std::vector<const PreparedImage*> images;
  size_t top = 1;
  for (const Entry& entry : batch) {
    images.push_back(entry.job->images[entry.index].get());
    top = std::max(top, entry.job->top);
  }
  std::vector<std::vector<Guess>> guesses;
  std::exception_ptr failed;
  try {
    guesses = service_.predict(images, top);
  } catch (...) {
    failed = std::current_exception();
  }
  const double model_seconds = seconds(Clock::now() - start);
  if (on_batch_) on_batch_(batch.size(), model_seconds);
  for (size_t i = 0; i < batch.size(); ++i) {
    Job& job = *batch[i].job;
    PredictionResult& result = job.result;
    if (failed) {
      result.failed = failed;
    } else {
      std::vector<Guess>& own = result.guesses[batch[i].index];
      own = std::move(guesses[i]);
      if (own.size() > job.top) own.resize(job.top);
    }
    result.wait_seconds = std::max(result.wait_seconds, seconds(start - batch[i].arrived));
    result.largest_batch = std::max(result.largest_batch, batch.size());
    // A request's images may be spread over batches: their time adds up once a batch.
    if (i == 0 || batch[i - 1].job != batch[i].job) result.model_seconds += model_seconds;
    if (--job.missing == 0) job.done(std::move(result));
  }
}

void Batcher::run_explain(Entry& entry) {
  const Clock::time_point start = Clock::now();
  ExplainResult result;
  result.wait_seconds = seconds(start - entry.arrived);
  try {
    result.picture = service_.explain(*entry.image, entry.label);
  } catch (...) {
    result.failed = std::current_exception();
  }
  result.model_seconds = seconds(Clock::now() - start);
  entry.explained(std::move(result));
}

}  // namespace imgtrain::serve
