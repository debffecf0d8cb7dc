#include "engine/report/portable/report.h"

#include <algorithm>
#include <boost/json/array.hpp>

#include "engine/report/portable/heat_map.h"
#include "engine/report/portable/page_template.h"
#include "engine/report/portable/reproduce.h"
#include "engine/train/run/json_text.h"
#include "engine/train/run/recipe.h"
#include "format/base64.h"
#include "format/utf8.h"

namespace imgtrain {

// The text of engine/report/page/report.html; the build puts it into the binary.
extern const char* const kReportPage;

namespace {

namespace json = boost::json;

// A table of all classes is folded away where it would be longer than this.
constexpr size_t kOpenClassTable = 40;
constexpr size_t kHardestClasses = 15;
constexpr size_t kTakenFor = 3;

std::string data_uri(std::string_view type, std::string_view bytes) {
  return "data:" + std::string(type) + ";base64," + imgpack::to_base64(bytes);
}

std::string percent(double share) {
  return fixed_text(100 * share, 1) + " %";
}

double share(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

std::string counted(uint64_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

std::string duration(double seconds) {
  if (seconds < 90) return fixed_text(seconds, 1) + " s";
  if (seconds < 5400) return fixed_text(seconds / 60, 1) + " min";
  return fixed_text(seconds / 3600, 2) + " h";
}

const Recipe* recipe_of(const RunRecord& run) {
  const auto known =
      std::find_if(recipes().begin(), recipes().end(), [&](const Recipe& recipe) { return recipe.name == run.recipe; });
  return known == recipes().end() ? nullptr : &*known;
}

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return {};
  return value->is_string() ? std::string(value->get_string()) : compact_json(*value);
}

// --- The page's pieces.

class Page {
 public:
  Page(const RunRecord& run, const Findings& findings)
      : run_(run),
        findings_(findings),
        matrix_(findings.predictions, static_cast<int64_t>(findings.classes.size())),
        calibration_(calibration_of(findings.predictions)) {}

  json::object data(const std::vector<Chart>& charts, const std::vector<std::string>& pictures) {
    json::object page;
    head(page);
    json::array curves;
    for (size_t i = 0; i < charts.size(); ++i) {
      if (pictures[i].empty()) continue;
      if (charts[i].id == "reliability") {
        page["reliability"] = pictures[i];
      } else {
        curves.push_back(json::object{{"svg", pictures[i]}, {"title", charts[i].title}});
      }
    }
    page["curves"] = std::move(curves);
    times(page);
    classes(page);
    confusion(page);
    calibration(page);
    page["wrong"] = images(findings_.wrong);
    page["wrong_count"] = findings_.wrong.empty() ? std::string() : std::to_string(findings_.wrong.size());
    page["cam_layer"] = findings_.cam_layer;
    if (!findings_.cam_layer.empty()) page["cam_cells"] = std::to_string(cam_cells());
    const Picture scale = heat_scale(256, 1);
    page["heat_scale"] = data_uri("image/png", png_file(scale));
    if (findings_.real) real(page, *findings_.real);
    cost(page);
    reproduction(page);
    return page;
  }

 private:
  // Cells a side of the map before it is enlarged: layer1 has a quarter of the image's pixels, each later stage half.
  int64_t cam_cells() const {
    int64_t cells = (findings_.eval_size + 3) / 4;
    for (char stage = '1'; stage < findings_.cam_layer.back(); ++stage) cells = (cells + 1) / 2;
    return cells;
  }

  std::string name(int32_t label) const { return class_title(findings_.classes[static_cast<size_t>(label)]); }

  void head(json::object& page) const {
    page["run"] = imgpack::to_printable_utf8(run_.name);
    page["model"] = findings_.model;
    page["split"] = findings_.split;
    page["images"] = counted(findings_.totals.samples);
    page["class_count"] = counted(findings_.classes.size());
    page["created_by"] = findings_.created_by;
    page["trained_by"] = run_.created_by;
    page["unfinished"] = !run_.result.has_value();
    page["epochs_done"] = std::to_string(run_.epochs.size());
    page["eval_size"] = std::to_string(findings_.eval_size);
    page["eval_resize"] = std::to_string(findings_.eval_resize);
    page["top1"] = fixed_text(findings_.totals.top1_percent(), 2);
    page["top5"] = fixed_text(findings_.totals.top5_percent(), 2);
    page["loss"] = fixed_text(findings_.totals.loss(), 4);
    page["ece"] = fixed_text(100 * calibration_.expected_error, 1);
    page["training_time"] = duration(run_.seconds());
    page["device"] = run_.device;
    page["recipe"] = run_.recipe;
    if (const Recipe* recipe = recipe_of(run_)) {
      page["expected"] = recipe->expected;
      page["recipe_source"] = recipe->source;
      const std::vector<std::string> changed =
          differences(resolve({&recipe->layer, 1}, recipe->name).values, run_.config);
      json::array list;
      for (const std::string& line : changed) {
        std::string words = line;  // `lr: 0.1 before, 0.2 now`: before is the recipe's.
        if (const size_t at = words.rfind(" before, "); at != std::string::npos)
          words.replace(at, 9, " in the recipe, ");
        if (words.ends_with(" now")) words.replace(words.size() - 4, 4, " here");
        list.push_back(json::value(words));
      }
      page["unlike_recipe"] = std::move(list);
      page["differs"] = !changed.empty();
    }
  }

  void times(json::object& page) const {
    page["bottleneck"] = run_.epochs.empty() ? std::string() : run_.epochs.back().bottleneck;
    page["has_times"] = !run_.epochs.empty();
    StageTimes sum;
    uint64_t images_per_second_of = 0;
    double rate = 0;
    for (const TrainedEpoch& epoch : run_.epochs) {
      sum.steps += epoch.stages.steps;
      sum.read += epoch.stages.read;
      sum.decode += epoch.stages.decode;
      sum.wait += epoch.stages.wait;
      sum.copy += epoch.stages.copy;
      sum.forward_backward += epoch.stages.forward_backward;
      sum.exchange += epoch.stages.exchange;
      sum.optimizer += epoch.stages.optimizer;
      rate += epoch.images_per_second;
      ++images_per_second_of;
    }
    page["throughput"] =
        images_per_second_of == 0 ? "0" : fixed_text(rate / static_cast<double>(images_per_second_of), 1);
    const double step = sum.wait + sum.forward_backward + sum.exchange + sum.optimizer;
    json::array rows;
    const auto row = [&](const char* stage, double seconds, bool part) {
      rows.push_back(json::object{
          {"stage", stage},
          {"ms", fixed_text(sum.steps == 0 ? 0 : 1000 * seconds / static_cast<double>(sum.steps), 2)},
          {"share", part ? json::value(percent(step > 0 ? seconds / step : 0)) : json::value("beside the step")},
          {"total", duration(seconds)}});
    };
    row("forward and backward", sum.forward_backward, true);
    row("gradient exchange that backward did not hide", sum.exchange, true);
    row("optimizer", sum.optimizer, true);
    row("waiting for images", sum.wait, true);
    row("reading", sum.read, false);
    row("decoding, summed over threads", sum.decode, false);
    row("copying to the device", sum.copy, false);
    page["stages"] = std::move(rows);
  }

  json::object class_row(int32_t label) const {
    const ClassCount& count = matrix_.class_counts()[static_cast<size_t>(label)];
    std::string taken;
    for (const Confusion& other : matrix_.taken_for(label, kTakenFor))
      taken += (taken.empty() ? "" : ", ") + name(other.predicted) + " (" + std::to_string(other.images) + ")";
    return {{"name", name(label)},
            {"wnid", findings_.classes[static_cast<size_t>(label)].wnid},
            {"images", std::to_string(count.images)},
            {"top1", count.images == 0 ? "" : fixed_text(100 * share(count.top1, count.images), 1)},
            {"top5", count.images == 0 ? "" : fixed_text(100 * share(count.top5, count.images), 1)},
            {"bar", fixed_text(100 * share(count.top1, count.images), 1)},
            {"predicted", std::to_string(matrix_.times_predicted(label))},
            {"taken_for", taken}};
  }

  void classes(json::object& page) const {
    const std::vector<ClassCount>& counts = matrix_.class_counts();
    std::vector<int32_t> labels;
    for (size_t i = 0; i < counts.size(); ++i)
      if (counts[i].images > 0) labels.push_back(static_cast<int32_t>(i));
    const auto accuracy = [&](int32_t label) {
      const ClassCount& count = counts[static_cast<size_t>(label)];
      return share(count.top1, count.images);
    };
    std::stable_sort(labels.begin(), labels.end(), [&](int32_t a, int32_t b) { return accuracy(a) < accuracy(b); });
    json::array all, hardest, easiest;
    for (const int32_t label : labels) all.push_back(class_row(label));
    page["fold_classes"] = labels.size() > kOpenClassTable;
    if (labels.size() > kOpenClassTable) {
      for (size_t i = 0; i < kHardestClasses; ++i) hardest.push_back(all[i]);
      for (size_t i = 0; i < kHardestClasses; ++i) easiest.push_back(all[all.size() - 1 - i]);
      page["least_accurate"] = std::to_string(kHardestClasses);
    }
    page["hardest"] = std::move(hardest);
    page["easiest"] = std::move(easiest);
    page["all_classes"] = std::move(all);
  }

  void confusion(json::object& page) const {
    json::array pairs;
    for (const Confusion& pair : matrix_.most_confused(kConfusedPairs)) {
      const ClassCount count = matrix_.class_counts()[static_cast<size_t>(pair.label)];
      pairs.push_back(json::object{{"label", name(pair.label)},
                                   {"predicted", name(pair.predicted)},
                                   {"images", std::to_string(pair.images)},
                                   {"share", percent(share(pair.images, count.images))},
                                   {"back", std::to_string(matrix_.at(pair.predicted, pair.label))}});
    }
    page["has_pairs"] = !pairs.empty();
    page["pairs"] = std::move(pairs);
    const std::vector<int32_t> shown = matrix_.telling_classes(kMostMatrixClasses);
    json::array columns, rows;
    for (size_t i = 0; i < shown.size(); ++i)
      columns.push_back(json::object{{"number", std::to_string(i + 1)}, {"name", name(shown[i])}});
    for (size_t i = 0; i < shown.size(); ++i) {
      const uint64_t images = matrix_.class_counts()[static_cast<size_t>(shown[i])].images;
      json::array cells;
      uint64_t inside = 0;
      for (size_t k = 0; k < shown.size(); ++k) {
        const uint64_t value = matrix_.at(shown[i], shown[k]);
        inside += value;
        const double part = share(value, images);
        cells.push_back(json::object{{"value", value == 0 ? "" : std::to_string(value)},
                                     {"shade", fixed_text(part, 2)},
                                     {"strong", part > 0.5},
                                     {"kind", i == k ? "hit" : "miss"},
                                     {"title", name(shown[i]) + " taken for " + name(shown[k]) + ": " +
                                                   std::to_string(value) + " of " + std::to_string(images)}});
      }
      rows.push_back(json::object{{"number", std::to_string(i + 1)},
                                  {"name", name(shown[i])},
                                  {"cells", std::move(cells)},
                                  {"others", images - inside == 0 ? "" : std::to_string(images - inside)}});
    }
    page["matrix_columns"] = std::move(columns);
    page["matrix_rows"] = std::move(rows);
    page["matrix_partial"] = shown.size() < findings_.classes.size();
    page["matrix_classes"] = std::to_string(shown.size());
  }

  void calibration(json::object& page) const {
    page["bins"] = std::to_string(calibration_.bins.size());
    page["mce"] = fixed_text(100 * calibration_.largest_error, 1);
    page["mean_confidence"] = percent(calibration_.mean_confidence);
    page["accuracy"] = percent(calibration_.accuracy);
    page["overconfident"] = calibration_.mean_confidence > calibration_.accuracy;
    json::array rows;
    for (const CalibrationBin& bin : calibration_.bins) {
      rows.push_back(json::object{{"range", fixed_text(bin.low, 3) + " to " + fixed_text(bin.high, 3)},
                                  {"images", counted(bin.images)},
                                  {"confidence", bin.images == 0 ? "" : percent(bin.confidence)},
                                  {"accuracy", bin.images == 0 ? "" : percent(bin.accuracy)}});
    }
    page["calibration_rows"] = std::move(rows);
  }

  json::array images(const std::vector<ReportImage>& list) const {
    json::array figures;
    for (const ReportImage& image : list) {
      std::string real;
      for (const int32_t label : image.real_labels) real += (real.empty() ? "" : "; ") + name(label);
      figures.push_back(json::object{
          {"picture", data_uri("image/jpeg", image.jpeg)},
          {"overlay", image.overlay.empty() ? std::string() : data_uri("image/jpeg", image.overlay)},
          {"label", name(image.prediction.label)},
          {"predicted", name(image.prediction.predicted)},
          {"confidence", percent(image.prediction.confidence)},
          {"label_probability", percent(image.prediction.label_probability)},
          {"real", real},
          {"model_agrees", std::find(image.real_labels.begin(), image.real_labels.end(), image.prediction.predicted) !=
                               image.real_labels.end()},
          {"name", imgpack::to_printable_utf8(image.name)}});
    }
    return figures;
  }

  void real(json::object& page, const RealFindings& found) const {
    page["has_real"] = true;
    page["real_accuracy"] = fixed_text(found.totals.percent(), 2);
    page["real_images"] = counted(found.totals.images);
    page["real_disputed"] = counted(found.label_disputed);
    page["real_wrong_but_right"] = counted(found.wrong_but_right);
    page["real_right_but_wrong"] = counted(found.right_but_wrong);
    page["real_shown"] = images(found.shown);
    page["real_count"] = std::to_string(found.shown.size());
  }

  void cost(json::object& page) const {
    const double hours = run_.seconds() / 3600;
    const CostFindings& known = findings_.cost;
    page["hours"] = fixed_text(hours, 2);
    page["price_known"] = known.spot.has_value() || known.on_demand.has_value();
    page["machine"] = known.machine;
    page["price_source"] = known.source;
    json::array rows;
    const auto row = [&](const char* kind, const std::optional<double>& price) {
      if (!price) return;
      rows.push_back(
          json::object{{"kind", kind}, {"price", fixed_text(*price, 2)}, {"dollars", fixed_text(*price * hours, 2)}});
    };
    row("spot", known.spot);
    row(known.machine.empty() ? "as given" : "on demand", known.on_demand);
    page["prices"] = std::move(rows);
  }

  void reproduction(json::object& page) const {
    page["command"] = reproduce_command(run_);
    page["dataset_id"] = run_.dataset_id;
    page["weights"] = findings_.weights;
    page["weights_digest"] = run_.result ? text_of(*run_.result, "weights_digest") : std::string();
    page["order_digest"] = run_.result ? text_of(*run_.result, "order_digest") : std::string();
    page["samples_repeated"] = run_.result ? text_of(*run_.result, "samples_repeated") : std::string();
    page["samples_skipped"] = run_.result ? text_of(*run_.result, "samples_skipped") : std::string();
    page["resumes"] = std::to_string(run_.resumes);
    page["config"] = pretty_json(to_json(run_.config));
  }

  const RunRecord& run_;
  const Findings& findings_;
  const ConfusionMatrix matrix_;
  const Calibration calibration_;
};

json::array image_list(const std::vector<ReportImage>& images, const std::vector<imgpack::ClassInfo>& classes) {
  json::array list;
  for (const ReportImage& image : images) {
    const auto wnid = [&](int32_t label) { return classes[static_cast<size_t>(label)].wnid; };
    json::array real;
    for (const int32_t label : image.real_labels) real.push_back(json::value(wnid(label)));
    list.push_back(json::object{{"name", imgpack::to_printable_utf8(image.name)},
                                {"label", wnid(image.prediction.label)},
                                {"predicted", wnid(image.prediction.predicted)},
                                {"confidence", image.prediction.confidence},
                                {"label_probability", image.prediction.label_probability},
                                {"real", std::move(real)}});
  }
  return list;
}

}  // namespace

std::string class_title(const imgpack::ClassInfo& info) {
  if (info.names.empty()) return info.wnid;
  return info.names.substr(0, info.names.find(','));
}

json::object report_json(const RunRecord& run, const Findings& findings) {
  const ConfusionMatrix matrix(findings.predictions, static_cast<int64_t>(findings.classes.size()));
  const Calibration calibration = calibration_of(findings.predictions);
  json::array classes, pairs, bins;
  const std::vector<ClassCount>& counts = matrix.class_counts();
  for (size_t i = 0; i < counts.size(); ++i) {
    classes.push_back(json::object{{"class", findings.classes[i].wnid},
                                   {"name", findings.classes[i].names},
                                   {"images", counts[i].images},
                                   {"top1", counts[i].top1},
                                   {"top5", counts[i].top5},
                                   {"predicted", matrix.times_predicted(static_cast<int32_t>(i))}});
  }
  for (const Confusion& pair : matrix.most_confused(kConfusedPairs)) {
    pairs.push_back(json::object{{"label", findings.classes[static_cast<size_t>(pair.label)].wnid},
                                 {"predicted", findings.classes[static_cast<size_t>(pair.predicted)].wnid},
                                 {"images", pair.images}});
  }
  for (const CalibrationBin& bin : calibration.bins) {
    bins.push_back(json::object{{"low", bin.low},
                                {"high", bin.high},
                                {"images", bin.images},
                                {"confidence", bin.confidence},
                                {"accuracy", bin.accuracy}});
  }
  const Recipe* recipe = recipe_of(run);
  const double hours = run.seconds() / 3600;
  json::object report{
      {"message_type", "report"},
      {"run", imgpack::to_printable_utf8(run.folder.string())},
      {"finished", run.result.has_value()},
      {"recipe", run.recipe},
      {"expected", recipe == nullptr ? std::string() : recipe->expected},
      {"model", findings.model},
      {"weights", imgpack::to_printable_utf8(findings.weights)},
      {"split", findings.split},
      {"images", findings.totals.samples},
      {"loss", findings.totals.loss()},
      {"accuracy", findings.totals.top1_percent()},
      {"accuracy_top5", findings.totals.top5_percent()},
      {"classes", std::move(classes)},
      {"confused", std::move(pairs)},
      {"calibration",
       {{"bins", std::move(bins)},
        {"expected_error", calibration.expected_error},
        {"largest_error", calibration.largest_error},
        {"mean_confidence", calibration.mean_confidence}}},
      {"cam_layer", findings.cam_layer},
      {"confidently_wrong", image_list(findings.wrong, findings.classes)},
      {"bottleneck", run.epochs.empty() ? std::string() : run.epochs.back().bottleneck},
      {"seconds", run.seconds()},
      {"dataset_id", run.dataset_id},
      {"command", imgpack::to_printable_utf8(reproduce_command(run))},
  };
  for (const char* key : {"order_digest", "weights_digest"})
    if (run.result) report[key] = text_of(*run.result, key);
  if (findings.real) {
    const RealFindings& real = *findings.real;
    report["real"] = {{"images", real.totals.images},
                      {"accuracy", real.totals.percent()},
                      {"label_disputed", real.label_disputed},
                      {"wrong_but_right", real.wrong_but_right},
                      {"right_but_wrong", real.right_but_wrong},
                      {"shown", image_list(real.shown, findings.classes)}};
  }
  const auto dollars = [&](const char* key, const std::optional<double>& price) {
    if (price) report[key] = *price * hours;
  };
  if (!findings.cost.machine.empty()) report["machine"] = findings.cost.machine;
  dollars("dollars_spot", findings.cost.spot);
  dollars(findings.cost.machine.empty() ? "dollars" : "dollars_on_demand", findings.cost.on_demand);
  return report;
}

std::string report_page(const RunRecord& run, const Findings& findings, const std::vector<Chart>& charts,
                        const std::vector<std::string>& pictures) {
  return render_page(kReportPage, Page(run, findings).data(charts, pictures));
}

}  // namespace imgtrain
