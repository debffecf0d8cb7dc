#include "engine/train/run/mlflow_sink.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <exception>

#include "engine/train/run/json_text.h"
#include "format/error.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
using imgpack::Error;
using imgpack::ErrorKind;

constexpr size_t kMaxAnswerBytes = size_t{4} << 20;
// What waits while the server is away; the oldest go first.
constexpr size_t kMaxQueued = 100'000;
// Limits of one log-batch call in MLflow's REST documentation.
constexpr size_t kMetricsPerCall = 1000, kParametersPerCall = 100, kParameterBytes = 6000;
constexpr const char* kApi = "/api/2.0/mlflow/";
constexpr uint64_t kMaxRecordBytes = 64 << 10;

std::string escaped(const std::string& text) {
  constexpr const char* kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (plain) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

// A text somewhere in an answer: {"run": {"info": {"run_id": …}}}. Empty: it is not there.
std::string text_at(const std::string& answer, std::initializer_list<const char*> path) {
  boost::system::error_code failure;
  const json::value root = json::parse(answer, failure);
  if (failure) return {};
  const json::value* at = &root;
  for (const char* key : path) {
    const json::object* object = at->if_object();
    at = object == nullptr ? nullptr : object->if_contains(key);
    if (at == nullptr) return {};
  }
  return at->is_string() ? std::string(at->get_string()) : std::string();
}

}  // namespace

MlflowSink::MlflowSink(imgpack::FileSystem& fs, MlflowOptions options, Warn warn)
    : fs_(fs), options_(std::move(options)), warn_(std::move(warn)) {
  const auto endpoint = parse_http_endpoint(options_.uri);
  if (!endpoint)
    throw Error(ErrorKind::kUsage,
                "mlflow: expected http://HOST:PORT of a tracking server, found '" + options_.uri + "'");
  endpoint_ = *endpoint;
  thread_ = std::thread([this] { work(); });
}

MlflowSink::~MlflowSink() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void MlflowSink::log(std::vector<MlflowMetric> metrics) {
  {
    const std::lock_guard lock(mutex_);
    for (MlflowMetric& metric : metrics) queue_.push_back(std::move(metric));
    while (queue_.size() > kMaxQueued) {
      queue_.pop_front();
      ++dropped_;
    }
  }
  changed_.notify_all();
}

void MlflowSink::finish(const std::string& status) {
  {
    const std::lock_guard lock(mutex_);
    status_ = status;
  }
  changed_.notify_all();
}

// The next piece of work, which stays queued until it is sent. False: there is none and the owner is ending.
bool MlflowSink::take(std::vector<MlflowMetric>& batch, std::string& status) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ending_ || !queue_.empty() || !status_.empty(); });
  const size_t count = std::min(queue_.size(), kMetricsPerCall);
  batch.assign(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(count));
  status = count == queue_.size() ? status_ : std::string();
  return !batch.empty() || !status.empty();
}

void MlflowSink::work() {
  bool warned = false;
  std::vector<MlflowMetric> batch;
  std::string status;
  const auto put_away = [&] {
    const std::lock_guard lock(mutex_);
    // log() may have dropped some of these meanwhile.
    const size_t gone = static_cast<size_t>(std::min<uint64_t>(dropped_, batch.size()));
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(batch.size() - gone));
    if (!status.empty()) status_.clear();
  };
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      dropped_ = 0;
    }
    if (!take(batch, status)) return;
    try {
      try {
        send(batch, status);
      } catch (const std::exception& error) {
        throw Refused{error.what(), true};  // The record could not be written: nothing that asking again would change.
      }
      warned = false;
      put_away();
    } catch (const Refused& refused) {
      if (!std::exchange(warned, true))
        warn_("MLflow at " + options_.uri + ": " + refused.what + "; training goes on, curves there may have gaps");
      if (refused.for_good) {
        put_away();
        continue;
      }
      std::unique_lock lock(mutex_);
      if (ending_ || changed_.wait_for(lock, options_.retry, [this] { return ending_; })) {
        lock.unlock();
        if (!std::exchange(warned, true)) warn_("MLflow at " + options_.uri + " gave no answer");
        return;
      }
    }
  }
}

void MlflowSink::send(const std::vector<MlflowMetric>& batch, const std::string& status) {
  ensure_run();
  if (!batch.empty()) {
    json::array metrics;
    for (const MlflowMetric& metric : batch) {
      metrics.push_back(json::object{
          {"key", metric.key}, {"value", metric.value}, {"timestamp", metric.time_ms}, {"step", metric.step}});
    }
    call("POST", "runs/log-batch", compact_json(json::object{{"run_id", run_id_}, {"metrics", std::move(metrics)}}));
  }
  if (!status.empty()) {
    const int64_t now =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    call("POST", "runs/update", compact_json(json::object{{"run_id", run_id_}, {"status", status}, {"end_time", now}}));
  }
}

void MlflowSink::ensure_run() {
  if (!run_id_.empty()) return;
  if (fs_.exists(options_.record)) {
    const std::string record = imgpack::read_text(fs_, options_.record, kMaxRecordBytes);
    const std::string known = text_at(record, {"run_id"});
    if (text_at(record, {"uri"}) == options_.uri && !known.empty()) {
      call("POST", "runs/update", compact_json(json::object{{"run_id", known}, {"status", "RUNNING"}}));
      run_id_ = known;
      return;
    }
  }
  const std::string experiment = experiment_id();
  run_id_ = create_run(experiment);
  imgpack::publish(
      fs_, options_.record,
      pretty_json(json::object{{"uri", options_.uri}, {"experiment", options_.experiment}, {"run_id", run_id_}}));
}

std::string MlflowSink::experiment_id() {
  const std::string by_name = "experiments/get-by-name?experiment_name=" + escaped(options_.experiment);
  try {
    const std::string id = text_at(call("GET", by_name, {}), {"experiment", "experiment_id"});
    if (!id.empty()) return id;
  } catch (const Refused& refused) {
    if (!refused.for_good) throw;
  }
  const std::string id = text_at(
      call("POST", "experiments/create", compact_json(json::object{{"name", options_.experiment}})), {"experiment_id"});
  if (id.empty()) throw Refused{"no experiment could be made", true};
  return id;
}

std::string MlflowSink::create_run(const std::string& experiment) {
  const int64_t now =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  const std::string id =
      text_at(call("POST", "runs/create",
                   compact_json(json::object{
                       {"experiment_id", experiment}, {"run_name", options_.run_name}, {"start_time", now}})),
              {"run", "info", "run_id"});
  if (id.empty()) throw Refused{"no run could be made", true};
  json::array parameters;
  const auto flush = [&] {
    if (parameters.empty()) return;
    call("POST", "runs/log-batch", compact_json(json::object{{"run_id", id}, {"params", parameters}}));
    parameters.clear();
  };
  for (const auto& [key, value] : options_.parameters) {
    parameters.push_back(json::object{{"key", key}, {"value", value.substr(0, kParameterBytes)}});
    if (parameters.size() == kParametersPerCall) flush();
  }
  flush();
  return id;
}

std::string MlflowSink::call(const char* method, const std::string& target, const std::string& body) const {
  const auto answer = http_exchange(endpoint_, {method, kApi + target, {{"Content-Type", "application/json"}}, body},
                                    options_.timeout, kMaxAnswerBytes);
  if (!answer) throw Refused{"no answer", false};
  if (answer->status == 200) return answer->body;
  const std::string said = text_at(answer->body, {"message"});
  throw Refused{"status " + std::to_string(answer->status) + (said.empty() ? "" : " (" + said + ")"),
                answer->status >= 400 && answer->status < 500};
}

}  // namespace imgtrain
