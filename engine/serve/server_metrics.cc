#include "engine/serve/server_metrics.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "engine/train/run/json_text.h"

namespace imgtrain::serve {
namespace {

const std::vector<double> kSecondsBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
const std::vector<double> kBatchBounds = {1, 2, 4, 8, 16, 32, 64, 128};

std::string head(const std::string& name, const char* kind, const char* help) {
  return "# HELP " + name + " " + help + "\n# TYPE " + name + " " + kind + "\n";
}

}  // namespace

void Histogram::add(double value) {
  const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  ++counts_[static_cast<size_t>(bound - bounds_.begin())];
  sum_ += value;
}

uint64_t Histogram::count() const {
  return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0});
}

std::string Histogram::text(const std::string& name, const std::string& labels) const {
  const std::string more = labels.empty() ? "" : labels + ",", braces = labels.empty() ? "" : "{" + labels + "}";
  std::string out;
  uint64_t below = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    below += counts_[i];
    const std::string bound = i < bounds_.size() ? number_text(bounds_[i]) : "+Inf";
    out += name + "_bucket{" + more + "le=\"" + bound + "\"} " + std::to_string(below) + "\n";
  }
  out += name + "_sum" + braces + " " + number_text(sum_) + "\n";
  out += name + "_count" + braces + " " + std::to_string(below) + "\n";
  return out;
}

ServerMetrics::ServerMetrics()
    : started_(std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count()),
      batch_images_(kBatchBounds),
      batch_seconds_(kSecondsBounds) {}

void ServerMetrics::answered(const std::string& route, unsigned status, double seconds) {
  const std::lock_guard lock(mutex_);
  ++answered_[{route, status}];
  seconds_.try_emplace(route, kSecondsBounds).first->second.add(seconds);
}

void ServerMetrics::rejected(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  ++rejected_[reason];
}

void ServerMetrics::connections(int64_t change) {
  const std::lock_guard lock(mutex_);
  connections_ += change;
}

void ServerMetrics::queued(int64_t change) {
  const std::lock_guard lock(mutex_);
  queued_ += change;
}

void ServerMetrics::batch(size_t images, double seconds) {
  const std::lock_guard lock(mutex_);
  batch_images_.add(static_cast<double>(images));
  batch_seconds_.add(seconds);
  images_ += images;
}

std::string ServerMetrics::text(const std::string& model) const {
  const std::lock_guard lock(mutex_);
  std::string out = head("imgtrain_http_requests_total", "counter", "Requests answered, by route and status.");
  for (const auto& [key, count] : answered_) {
    out += "imgtrain_http_requests_total{route=\"" + key.first + "\",status=\"" + std::to_string(key.second) + "\"} " +
           std::to_string(count) + "\n";
  }
  out += head("imgtrain_http_request_seconds", "histogram", "From the last byte of a request to its answer, by route.");
  for (const auto& [route, histogram] : seconds_)
    out += histogram.text("imgtrain_http_request_seconds", "route=\"" + route + "\"");
  out += head("imgtrain_http_rejected_total", "counter", "Requests and connections turned away by a limit.");
  for (const auto& [reason, count] : rejected_)
    out += "imgtrain_http_rejected_total{reason=\"" + reason + "\"} " + std::to_string(count) + "\n";
  out += head("imgtrain_http_connections", "gauge", "Open connections.");
  out += "imgtrain_http_connections " + std::to_string(connections_) + "\n";
  out += head("imgtrain_queue_images", "gauge", "Images taken and not answered yet.");
  out += "imgtrain_queue_images " + std::to_string(queued_) + "\n";
  out += head("imgtrain_images_total", "counter", "Images that went through the model.");
  out += "imgtrain_images_total " + std::to_string(images_) + "\n";
  out += head("imgtrain_batch_images", "histogram", "Images of a batch of the model.");
  out += batch_images_.text("imgtrain_batch_images", "");
  out += head("imgtrain_batch_seconds", "histogram", "Time of a batch in the model.");
  out += batch_seconds_.text("imgtrain_batch_seconds", "");
  out += head("process_start_time_seconds", "gauge", "When the server began, in seconds since 1970.");
  out += "process_start_time_seconds " + number_text(started_) + "\n";
  if (!model.empty()) {
    out += head("imgtrain_model_info", "gauge", "The model that is served.");
    out += "imgtrain_model_info{" + model + "} 1\n";
  }
  return out;
}

}  // namespace imgtrain::serve
