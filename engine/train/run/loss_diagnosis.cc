#include "engine/train/run/loss_diagnosis.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "engine/train/run/json_text.h"

namespace imgtrain {
namespace {

constexpr size_t kNamesInMessage = 4;

}  // namespace

std::vector<std::string> batch_names(imgpack::FileSystem& fs, const std::filesystem::path& dataset,
                                     const std::string& split, const data::SampleOrder& order, uint64_t epoch,
                                     uint64_t batch) {
  const imgpack::Dataset named = imgpack::Dataset::open(fs, dataset, imgpack::ReadNames::kYes);
  const std::vector<std::string>& names = named.split(split).columns.names;
  std::vector<std::string> found;
  for (const data::SampleRef& sample : order.global_batch(epoch, batch)) found.push_back(names.at(sample.record));
  return found;
}

boost::json::object to_json(const LossDiagnosis& diagnosis) {
  boost::json::object object{{"step", diagnosis.step},
                             {"epoch", diagnosis.epoch + 1},
                             {"batch", diagnosis.batch},
                             {"learning_rate", diagnosis.rates.lr},
                             {"momentum", diagnosis.rates.momentum},
                             {"precision", diagnosis.precision}};
  if (diagnosis.scale) object["loss_scale"] = *diagnosis.scale;
  boost::json::array names;
  for (const std::string& name : diagnosis.names) names.push_back(boost::json::value(name));
  object["images"] = std::move(names);
  return object;
}

std::string describe(const LossDiagnosis& diagnosis) {
  std::string text = "the training loss is no longer a number at step " + std::to_string(diagnosis.step) + " (epoch " +
                     std::to_string(diagnosis.epoch + 1) + ", batch " + std::to_string(diagnosis.batch) +
                     "): learning rate " + number_text(diagnosis.rates.lr) + ", momentum " +
                     number_text(diagnosis.rates.momentum) + ", precision " + diagnosis.precision;
  if (diagnosis.scale) text += ", loss scale " + number_text(*diagnosis.scale);
  for (size_t i = 0; i < std::min(diagnosis.names.size(), kNamesInMessage); ++i)
    text += (i == 0 ? ", images " : ", ") + diagnosis.names[i];
  if (diagnosis.names.size() > kNamesInMessage)
    text += " and " + std::to_string(diagnosis.names.size() - kNamesInMessage) + " more (all in diagnosis.json)";
  return text;
}

}  // namespace imgtrain
