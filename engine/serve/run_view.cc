#include "engine/serve/run_view.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <utility>

#include "engine/train/run/json_text.h"
#include "engine/train/run/run_config.h"
#include "engine/train/run/run_folder.h"

namespace imgtrain::serve {

namespace json = boost::json;

namespace {

constexpr uint64_t kMaxJsonBytes = uint64_t{16} << 20;
constexpr std::chrono::seconds kFresh{1};

json::value read_json(imgpack::FileSystem& fs, const std::filesystem::path& path) {
  if (!fs.exists(path)) return nullptr;
  boost::system::error_code failure;
  json::value value = json::parse(imgpack::read_text(fs, path, kMaxJsonBytes), failure);
  if (failure) return nullptr;
  return value;
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

RunView::RunView(imgpack::FileSystem& fs, std::filesystem::path folder, std::optional<double> dollars_per_hour)
    : fs_(fs),
      folder_(std::move(folder)),
      dollars_per_hour_(dollars_per_hour),
      metrics_(fs, folder_ / "metrics.jsonl") {
  read_run_config(fs_, folder_);
  live_.emplace(fs_, folder_ / "live.jsonl");
}

std::string RunView::snapshot() {
  const std::lock_guard lock(mutex_);
  if (json_.empty() || std::chrono::steady_clock::now() - refreshed_ >= kFresh) refresh();
  return json_;
}

void RunView::refresh() {
  // Anew each time: --extend changes it.
  const RunConfig config = read_run_config(fs_, folder_);
  LinesTail::News record = metrics_.poll();
  if (record.begun_anew) {
    story_ = RunStory();
    live_.emplace(fs_, folder_ / "live.jsonl");
  }
  for (const std::string& line : record.lines) story_.add(line);
  for (const std::string& line : live_->poll().lines) story_.add(line);
  json::value result = read_json(fs_, folder_ / "result.json");
  const json::value run = read_json(fs_, folder_ / "run.json");
  json::object out = story_.to_json(seconds_now(), config.batch, result.is_object());
  const std::filesystem::path name = folder_.has_filename() ? folder_.filename() : folder_.parent_path().filename();
  out["name"] = name.string();
  out["model"] = "resnet" + std::to_string(config.depth);
  out["batch"] = config.batch;
  out["duration"] = to_text(config.duration);
  for (const char* key : {"recipe", "dataset_id"}) {
    const json::value* value = run.is_object() ? run.get_object().if_contains(key) : nullptr;
    out[key] = value != nullptr && value->is_string() ? *value : json::value("");
  }
  out["result"] = std::move(result);
  out["dollars"] = nullptr;
  if (dollars_per_hour_) {
    const double so_far = story_.active_seconds() / 3600 * *dollars_per_hour_;
    const json::value& eta = out.at("eta_seconds");
    json::value in_all = so_far;
    if (eta.is_number()) in_all = so_far + eta.to_number<double>() / 3600 * *dollars_per_hour_;
    out["dollars"] = json::object{{"per_hour", *dollars_per_hour_}, {"so_far", so_far}, {"in_all", std::move(in_all)}};
  }
  json_ = compact_json(out) + "\n";
  refreshed_ = std::chrono::steady_clock::now();
}

}  // namespace imgtrain::serve
