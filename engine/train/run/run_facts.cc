#include "engine/train/run/run_facts.h"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "format/error.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
using imgpack::Error;
using imgpack::ErrorKind;

constexpr uint64_t kMaxJsonBytes = uint64_t{16} << 20;

json::object read_object(imgpack::FileSystem& fs, const std::filesystem::path& path) {
  boost::system::error_code failure;
  json::value value = json::parse(imgpack::read_text(fs, path, kMaxJsonBytes), failure);
  if (failure || !value.is_object()) throw Error(ErrorKind::kCorruption, "expected a JSON object", path);
  return std::move(value.get_object());
}

std::string text_of(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::optional<double> number_of(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->to_number<double>();
}

}  // namespace

RunFacts read_run_facts(imgpack::FileSystem& fs, const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "run.json";
  if (!fs.exists(path))
    throw Error(ErrorKind::kInvalidInput, "expected a run folder (with run.json), found none", folder);
  const json::object run = read_object(fs, path);
  RunFacts facts;
  facts.recipe = text_of(run, "recipe");
  facts.dataset_id = text_of(run, "dataset_id");
  facts.created_by = text_of(run, "created_by");
  if (!fs.exists(folder / "result.json")) return facts;
  const json::object result = read_object(fs, folder / "result.json");
  const auto top1 = number_of(result, "accuracy"), top5 = number_of(result, "accuracy_top5");
  if (top1 && top5) facts.accuracy = Accuracy{*top1, *top5};
  if (const auto epochs = number_of(result, "epochs"); epochs && *epochs >= 0)
    facts.epochs = static_cast<uint64_t>(*epochs);
  return facts;
}

}  // namespace imgtrain
