#include "engine/train/run/metrics.h"

#include <utility>

#include "engine/train/run/json_text.h"
#include "engine/train/run/live_feed.h"

namespace imgtrain {
namespace {

// A log beyond this is not one of ours.
constexpr uint64_t kMaxLogBytes = uint64_t{1} << 30;

}  // namespace

std::string metrics_csv(const std::vector<MetricRow>& rows) {
  std::string out = "stage,epoch,loss,accuracy,accuracy_top5,learning_rate,epoch_time\n";
  for (const MetricRow& row : rows) {
    out += row.stage + "," + std::to_string(row.epoch);
    for (const double value : {row.loss, row.accuracy, row.accuracy_top5, row.learning_rate, row.epoch_time})
      out += "," + number_text(value);
    out += "\n";
  }
  return out;
}

EventLog::EventLog(imgpack::FileSystem& fs, std::filesystem::path path) : fs_(fs), path_(std::move(path)) {
  if (fs_.exists(path_)) text_ = imgpack::read_text(fs_, path_, kMaxLogBytes);
  if (!text_.empty() && text_.back() != '\n') text_ += '\n';
}

std::string EventLog::append(const char* type, const boost::json::object& fields) {
  std::string line = event_line(type, fields);
  text_ += line;
  changed_ = true;
  return line;
}

void EventLog::flush() {
  if (!std::exchange(changed_, false)) return;
  imgpack::publish(fs_, path_, text_);
}

}  // namespace imgtrain
