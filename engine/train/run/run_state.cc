#include "engine/train/run/run_state.h"

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <span>
#include <utility>

#include "format/checksum.h"
#include "format/error.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
using imgpack::Error;
using imgpack::ErrorKind;

// Reads members of one object; every failure names the key.
class Reader {
 public:
  Reader(const json::object& object, const std::string& path, std::string prefix = {})
      : object_(object), path_(path), prefix_(std::move(prefix)) {}

  const json::value& at(const char* key) const {
    const json::value* value = object_.if_contains(key);
    if (value == nullptr) fail(key, "is missing");
    return *value;
  }
  std::string text(const char* key) const {
    const json::value& value = at(key);
    if (!value.is_string()) fail(key, "is not a text");
    return std::string(value.get_string());
  }
  uint64_t count(const char* key) const {
    const json::value& value = at(key);
    if (value.is_uint64()) return value.get_uint64();
    if (!value.is_int64() || value.get_int64() < 0) fail(key, "is not a whole number >= 0");
    return static_cast<uint64_t>(value.get_int64());
  }
  double real(const char* key) const {
    const json::value& value = at(key);
    if (value.is_double()) return value.get_double();
    if (value.is_int64()) return static_cast<double>(value.get_int64());
    if (value.is_uint64()) return static_cast<double>(value.get_uint64());
    fail(key, "is not a number");
  }
  bool boolean(const char* key) const {
    const json::value& value = at(key);
    if (!value.is_bool()) fail(key, "is neither true nor false");
    return value.get_bool();
  }
  uint64_t digest(const char* key) const {
    const auto value = imgpack::parse_hex(text(key));
    if (!value) fail(key, "is not a digest of 16 hexadecimal digits");
    return *value;
  }
  Reader object(const char* key) const {
    const json::value& value = at(key);
    if (!value.is_object()) fail(key, "is not an object");
    return Reader(value.get_object(), path_, prefix_ + key + ".");
  }
  const json::array& array(const char* key) const {
    const json::value& value = at(key);
    if (!value.is_array()) fail(key, "is not a list");
    return value.get_array();
  }
  bool has(const char* key) const { return object_.if_contains(key) != nullptr; }
  const json::object& raw() const { return object_; }
  [[noreturn]] void fail(const char* key, const char* what) const {
    throw Error(ErrorKind::kCorruption, "checkpoint state: " + prefix_ + key + " " + what, path_);
  }

 private:
  const json::object& object_;
  const std::string& path_;
  std::string prefix_;
};

json::object row_to_json(const MetricRow& row) {
  return {{"stage", row.stage},
          {"epoch", row.epoch},
          {"loss", row.loss},
          {"accuracy", row.accuracy},
          {"accuracy_top5", row.accuracy_top5},
          {"learning_rate", row.learning_rate},
          {"epoch_time", row.epoch_time}};
}

MetricRow row_from_json(const Reader& row) {
  return {row.text("stage"),         row.count("epoch"),        row.real("loss"),      row.real("accuracy"),
          row.real("accuracy_top5"), row.real("learning_rate"), row.real("epoch_time")};
}

}  // namespace

json::object to_json(const RunState& state) {
  json::array classes, history;
  for (const std::string& name : state.classes) classes.push_back(json::value(name));
  for (const MetricRow& row : state.history) history.push_back(row_to_json(row));
  json::object object{
      {"created_by", state.created_by},
      {"dataset_id", state.dataset_id},
      {"position",
       {{"epoch", state.position.epoch},
        {"batch", state.position.batch},
        {"step", state.position.step},
        {"evaluation_due", state.position.evaluation_due}}},
      {"order",
       {{"run_digest", imgpack::to_hex(state.run_digest)},
        {"epoch_digest", imgpack::to_hex(state.epoch_digest)},
        {"samples_delivered", state.samples_delivered},
        {"samples_repeated", state.samples_repeated},
        {"samples_skipped", state.samples_skipped}}},
      {"resumes", state.resumes},
      {"totals",
       {{"loss_sum", state.totals.loss_sum},
        {"top1", state.totals.top1},
        {"top5", state.totals.top5},
        {"samples", state.totals.samples},
        {"seconds", state.totals.seconds}}},
      {"machine",
       {{"device", state.machine.device},
        {"cpu", state.machine.cpu},
        {"threads", state.machine.threads},
        {"world", state.machine.world}}},
      {"config", to_json(state.config)},
      {"history", std::move(history)},
      {"classes", std::move(classes)},
  };
  if (state.scaler) {
    object["scaler"] = json::object{{"scale", state.scaler->scale}, {"growth_tracker", state.scaler->growth_tracker}};
  }
  return object;
}

RunState run_state_from_json(const json::object& object, const std::string& path) {
  const Reader reader(object, path);
  RunState state;
  state.created_by = reader.text("created_by");
  state.dataset_id = reader.text("dataset_id");
  const Reader position = reader.object("position");
  state.position = {position.count("epoch"), position.count("batch"), position.count("step"),
                    position.boolean("evaluation_due")};
  const Reader order = reader.object("order");
  state.run_digest = order.digest("run_digest");
  state.epoch_digest = order.digest("epoch_digest");
  state.samples_delivered = order.count("samples_delivered");
  state.samples_repeated = order.count("samples_repeated");
  state.samples_skipped = order.count("samples_skipped");
  state.resumes = reader.count("resumes");
  const Reader totals = reader.object("totals");
  state.totals = {totals.real("loss_sum"), totals.count("top1"), totals.count("top5"), totals.count("samples"),
                  totals.real("seconds")};
  const Reader machine = reader.object("machine");
  state.machine = {machine.text("device"), machine.text("cpu"), static_cast<int64_t>(machine.count("threads")),
                   static_cast<int64_t>(machine.count("world"))};
  const ConfigLayer layer[] = {{path, reader.object("config").raw()}};
  state.config = resolve(layer).values;
  for (const json::value& row : reader.array("history")) {
    if (!row.is_object()) reader.fail("history", "holds something that is not a row");
    state.history.push_back(row_from_json(Reader(row.get_object(), path, "history.")));
  }
  for (const json::value& name : reader.array("classes")) {
    if (!name.is_string()) reader.fail("classes", "holds something that is not a text");
    state.classes.emplace_back(name.get_string());
  }
  if (reader.has("scaler")) {
    const Reader scaler = reader.object("scaler");
    state.scaler = ScalerState{scaler.real("scale"), static_cast<int64_t>(scaler.count("growth_tracker"))};
  }
  return state;
}

}  // namespace imgtrain
