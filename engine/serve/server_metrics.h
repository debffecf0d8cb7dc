// Counters and histograms of a server, in Prometheus's text format (version 0.0.4) at /metrics.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace imgtrain::serve {

// Counts of values at most each bound. Not thread-safe.
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}
  void add(double value);
  // Lines NAME_bucket, NAME_sum and NAME_count; `labels` are empty or `route="…"`.
  std::string text(const std::string& name, const std::string& labels) const;
  uint64_t count() const;

 private:
  std::vector<double> bounds_;  // Rising.
  std::vector<uint64_t> counts_;
  double sum_ = 0;
};

// Thread-safe.
class ServerMetrics {
 public:
  ServerMetrics();

  void answered(const std::string& route, unsigned status, double seconds);
  void rejected(const std::string& reason);  // `queue`, `connections`, `memory`, `timeout`, `parse`
  void connections(int64_t change);
  void queued(int64_t change);  // Images that were taken and are not answered yet.
  void batch(size_t images, double seconds);

  // `model` is a label set: `name="resnet50",device="cpu"`. Empty: no such line.
  std::string text(const std::string& model) const;

 private:
  mutable std::mutex mutex_;
  double started_ = 0;  // Seconds since 1970.
  std::map<std::pair<std::string, unsigned>, uint64_t> answered_;
  std::map<std::string, uint64_t> rejected_;
  std::map<std::string, Histogram> seconds_;
  Histogram batch_images_, batch_seconds_;
  int64_t connections_ = 0, queued_ = 0;
  uint64_t images_ = 0;
};

}  // namespace imgtrain::serve
