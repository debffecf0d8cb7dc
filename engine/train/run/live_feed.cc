#include "engine/train/run/live_feed.h"

#include <chrono>
#include <exception>
#include <span>
#include <utility>

#include "engine/train/run/json_text.h"
#include "format/utf8.h"

namespace imgtrain {
namespace {

// Beyond this the file is begun anew; metrics.jsonl has what was published. About four days of an event a second.
constexpr uint64_t kMaxBytes = uint64_t{64} << 20;
constexpr size_t kMaxEarlyBytes = size_t{1} << 20;
constexpr const char* kRunFile = "run.json";

}  // namespace

std::string event_line(const char* type, const boost::json::object& fields) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  boost::json::object event;
  event["message_type"] = type;
  event["time"] = static_cast<double>(milliseconds) / 1000;
  for (const auto& member : fields) event[member.key()] = member.value();
  return compact_json(event) + "\n";
}

LiveFeed::LiveFeed(imgpack::FileSystem& fs, std::filesystem::path run) : fs_(fs), run_(std::move(run)) {}

void LiveFeed::append(const char* type, const boost::json::object& fields) {
  line(event_line(type, fields));
}

void LiveFeed::line(const std::string& jsonl) {
  const std::lock_guard lock(mutex_);
  if (broken_) return;
  try {
    if (file_ == nullptr || bytes_ > kMaxBytes) {
      if (!fs_.exists(run_ / kRunFile)) {
        if (early_.size() < kMaxEarlyBytes) early_ += jsonl;
        return;
      }
      file_ = fs_.create(run_ / "live.jsonl");
      bytes_ = 0;
      write(std::exchange(early_, {}));
    }
    write(jsonl);
  } catch (const std::exception&) {
    broken_ = true;  // A full disk is the training's to report, at its next checkpoint.
  }
}

void LiveFeed::write(const std::string& text) {
  file_->append(std::as_bytes(std::span(text)));
  bytes_ += text.size();
}

void LiveListener::say(const std::string& line) {
  feed_.append("line", {{"text", imgpack::to_printable_utf8(line)}});
  inner_.say(line);
}

void LiveListener::warn(const std::string& line) {
  feed_.append("line", {{"text", "warning: " + imgpack::to_printable_utf8(line)}});
  inner_.warn(line);
}

}  // namespace imgtrain
