#include "engine/report/portable/run_record.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <map>
#include <string_view>

#include "engine/train/run/run_folder.h"
#include "format/error.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
using imgpack::Error;
using imgpack::ErrorKind;

constexpr uint64_t kMaxLogBytes = uint64_t{1} << 30;
constexpr uint64_t kMaxJsonBytes = uint64_t{16} << 20;

double number(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_number() ? value->to_number<double>() : 0;
}

uint64_t count(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return 0;
  if (value->is_uint64()) return value->get_uint64();
  return value->is_int64() && value->get_int64() > 0 ? static_cast<uint64_t>(value->get_int64()) : 0;
}

std::string text(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

json::object members(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_object() ? value->get_object() : json::object();
}

json::object read_object(imgpack::FileSystem& fs, const std::filesystem::path& path) {
  boost::system::error_code failure;
  json::value value = json::parse(imgpack::read_text(fs, path, kMaxJsonBytes), failure);
  if (failure || !value.is_object()) throw Error(ErrorKind::kCorruption, "expected a JSON object", path);
  return std::move(value.get_object());
}

TrainedEpoch trained(const json::object& event) {
  TrainedEpoch epoch;
  epoch.epoch = count(event, "epoch");
  epoch.step = count(event, "step");
  epoch.loss = number(event, "loss");
  epoch.top1 = number(event, "accuracy");
  epoch.top5 = number(event, "accuracy_top5");
  epoch.learning_rate = number(event, "learning_rate");
  epoch.seconds = number(event, "epoch_time");
  epoch.images_per_second = number(event, "images_per_second");
  const json::object stages = members(event, "stages"), shares = members(event, "input_shares");
  epoch.stages = {count(stages, "steps"),     number(stages, "read"),     number(stages, "decode"),
                  number(stages, "wait"),     number(stages, "copy"),     number(stages, "forward_backward"),
                  number(stages, "exchange"), number(stages, "optimizer")};
  epoch.shares = {number(shares, "read"),    number(shares, "check"), number(shares, "decode"),
                  number(shares, "augment"), number(shares, "wait"),  number(shares, "copy")};
  epoch.bottleneck = text(event, "bottleneck");
  epoch.order_digest = text(event, "order_digest");
  return epoch;
}

EvaluatedEpoch evaluated(const json::object& event) {
  return {count(event, "epoch"),          number(event, "loss"),  number(event, "accuracy"),
          number(event, "accuracy_top5"), count(event, "images"), number(event, "epoch_time")};
}

// What was read so far, by what tells it apart, so that work done twice replaces itself.
struct Events {
  struct Rate {
    uint64_t epoch = 0, step = 0;
    double rate = 0;
  };
  std::map<uint64_t, TrainedEpoch> trained;
  std::map<uint64_t, EvaluatedEpoch> evaluated;
  std::vector<Rate> rates;
  std::map<uint64_t, uint64_t> begins;  // Epoch -> step that it began at, where an extension moved it.

  // What a run that goes on inside `epoch` at `step` does again. Steps of other epochs say nothing: an extension with
  // another batch counts them anew.
  void forget_from(uint64_t epoch, uint64_t step) {
    std::erase_if(rates,
                  [&](const Rate& rate) { return rate.epoch > epoch || (rate.epoch == epoch && rate.step > step); });
    trained.erase(trained.lower_bound(epoch), trained.end());
    evaluated.erase(evaluated.lower_bound(epoch), evaluated.end());
  }

  // Epochs done at a step inside `epoch`.
  double place(uint64_t epoch, uint64_t step) const {
    const auto moved = begins.find(epoch);
    const auto before = trained.find(epoch - 1), own = trained.find(epoch), first = trained.find(1);
    const uint64_t begin = moved != begins.end() ? moved->second : before != trained.end() ? before->second.step : 0;
    uint64_t length = first != trained.end() ? first->second.step : 0;
    if (own != trained.end() && own->second.step > begin) length = own->second.step - begin;
    if (length == 0 || step < begin) return static_cast<double>(epoch - 1);
    return static_cast<double>(epoch - 1) +
           std::min(1.0, static_cast<double>(step - begin) / static_cast<double>(length));
  }
};

}  // namespace

double RunRecord::seconds() const {
  double sum = 0;
  for (const TrainedEpoch& epoch : epochs) sum += epoch.seconds;
  for (const EvaluatedEpoch& evaluation : evaluations) sum += evaluation.seconds;
  return sum;
}

void read_events(std::string_view log, const std::filesystem::path& path, RunRecord& record) {
  Events events;
  uint64_t line_number = 0;
  for (size_t begin = 0; begin < log.size();) {
    const size_t end = std::min(log.find('\n', begin), log.size());
    const std::string_view line = log.substr(begin, end - begin);
    begin = end + 1;
    ++line_number;
    if (line.empty()) continue;
    boost::system::error_code failure;
    const json::value value = json::parse(line, failure);
    const json::object* event = failure ? nullptr : value.if_object();
    if (event == nullptr) {
      throw Error(ErrorKind::kCorruption,
                  "line " + std::to_string(line_number) + ": expected an event as a JSON object", path);
    }
    const std::string type = text(*event, "message_type");
    const uint64_t epoch = count(*event, "epoch"), step = count(*event, "step");
    if (type == "start" || type == "resume") {
      events.forget_from(epoch, step);
      record.device = text(*event, "device");
      record.threads = count(*event, "threads");
      record.total_steps = count(*event, "total_steps");
      if (type == "resume") ++record.resumes;
    } else if (epoch == 0) {
      continue;  // All that follow belong to one, from 1.
    } else if (type == "progress") {
      events.rates.push_back({epoch, step, number(*event, "learning_rate")});
    } else if (type == "epoch") {
      events.trained[epoch] = trained(*event);
      events.rates.push_back({epoch, step, number(*event, "learning_rate")});
    } else if (type == "evaluation") {
      events.evaluated[epoch] = evaluated(*event);
    } else if (type == "extend") {
      events.begins[epoch] = step;
    }
  }
  for (const auto& rate : events.rates) record.rates.push_back({events.place(rate.epoch, rate.step), rate.rate});
  std::stable_sort(record.rates.begin(), record.rates.end(),
                   [](const RateSample& a, const RateSample& b) { return a.epochs < b.epochs; });
  for (auto& [number_of_epoch, epoch] : events.trained) record.epochs.push_back(std::move(epoch));
  for (const auto& [number_of_epoch, evaluation] : events.evaluated) record.evaluations.push_back(evaluation);
}

RunRecord read_run(imgpack::FileSystem& fs, const std::filesystem::path& folder) {
  RunRecord record;
  record.folder = folder;
  const std::filesystem::path plain = folder.lexically_normal();
  record.name = (plain.has_filename() ? plain : plain.parent_path()).filename().string();
  record.config = read_run_config(fs, folder);
  const json::object run = read_object(fs, folder / "run.json");
  record.recipe = text(run, "recipe");
  record.dataset_id = text(run, "dataset_id");
  record.created_by = text(run, "created_by");
  if (const auto log = folder / "metrics.jsonl"; fs.exists(log))
    read_events(imgpack::read_text(fs, log, kMaxLogBytes), log, record);
  if (const auto result = folder / "result.json"; fs.exists(result)) record.result = read_object(fs, result);
  return record;
}

}  // namespace imgtrain
