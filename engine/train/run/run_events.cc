#include "engine/train/run/run_events.h"

#include <boost/json/value.hpp>
#include <chrono>
#include <utility>
#include <vector>

#include "engine/train/run/event_scalars.h"
#include "engine/train/run/json_text.h"

namespace imgtrain {
namespace {

namespace json = boost::json;

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

MlflowOptions mlflow_options(const std::filesystem::path& run, const RunConfig& config) {
  MlflowOptions options;
  options.uri = config.mlflow;
  options.experiment = config.mlflow_experiment;
  options.run_name = run.filename().string();
  options.record = run / "mlflow.json";
  for (const auto& [key, value] : to_json(config)) {
    options.parameters.emplace_back(std::string(key),
                                    value.is_string() ? std::string(value.get_string()) : compact_json(value));
  }
  return options;
}

}  // namespace

RunEvents::RunEvents(imgpack::FileSystem& fs, const std::filesystem::path& run, const RunConfig& config,
                     RunListener& listener)
    : fs_(fs), run_(run), tensorboard_wanted_(config.tensorboard), log_(fs, run / "metrics.jsonl") {
  if (!config.mlflow.empty())
    mlflow_ = std::make_unique<MlflowSink>(fs, mlflow_options(run, config),
                                           [&listener](const std::string& line) { listener.warn(line); });
}

void RunEvents::append(const char* type, const json::object& fields) {
  const std::string line = log_.append(type, fields);
  if (live_ != nullptr) live_->line(line);
  const int64_t now = now_ms();
  if (tensorboard_wanted_ && !tensorboard_) {
    // What a checkpoint's own step brought was written before the checkpoint: only what came after it was lost.
    const json::value* value = fields.if_contains("step");
    const uint64_t step = value != nullptr && value->is_number() ? value->to_number<uint64_t>() : 0;
    tensorboard_.emplace(fs_, run_ / "tensorboard", static_cast<double>(now) / 1000, step > 0 ? step + 1 : 0);
  }
  const auto scalars = event_scalars(type, fields);
  if (!scalars) return;
  if (tensorboard_) {
    for (const auto& [tag, value] : scalars->values)
      tensorboard_->scalar(static_cast<double>(now) / 1000, scalars->step, tag, value);
  }
  if (mlflow_) {
    std::vector<MlflowMetric> metrics;
    for (const auto& [tag, value] : scalars->values) metrics.push_back({tag, value, now, scalars->step});
    mlflow_->log(std::move(metrics));
  }
}

void RunEvents::flush() {
  log_.flush();
  if (tensorboard_) tensorboard_->flush();
}

void RunEvents::finish(const std::string& status) {
  flush();
  if (mlflow_) mlflow_->finish(status);
}

}  // namespace imgtrain
