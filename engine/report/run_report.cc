#include "engine/report/run_report.h"

#include <torch/torch.h>

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/report/grad_cam.h"
#include "engine/report/portable/heat_map.h"
#include "engine/report/portable/report.h"
#include "engine/report/portable/run_charts.h"
#include "engine/report/portable/split_image.h"
#include "engine/train/batch_feed.h"
#include "engine/train/evaluation_setup.h"
#include "engine/train/evaluator.h"
#include "engine/train/run/estimate.h"
#include "engine/train/run/input_options.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

CostFindings cost_of(const ReportRequest& request) {
  CostFindings cost;
  if (request.price > 0) {
    cost.on_demand = request.price;
    return cost;
  }
  if (request.instance.empty()) return cost;
  const InstancePrice price = price_of(embedded_prices(), request.instance);
  if (!price.spot && !price.on_demand) {
    std::string known;
    for (const InstanceType& type : instance_types()) known += (known.empty() ? "" : ", ") + type.name;
    throw Error(ErrorKind::kUsage, "--instance: no price is known for '" + request.instance + "': expected one of " +
                                       known + ", or --price");
  }
  cost.machine = request.instance;
  cost.spot = price.spot;
  cost.on_demand = price.on_demand;
  cost.source = "Prices of scripts/aws/prices.tsv";
  if (price.spot) cost.source += ", spot in " + price.spot_region;
  cost.source += ".";
  return cost;
}

// Pictures of chosen images, and what the model looked at in them.
class Gallery {
 public:
  Gallery(imgpack::FileSystem& fs, OpenedEvaluation& opened)
      : opened_(opened),
        options_(evaluation_input(opened.outcome.config, opened.outcome.split, {})),
        images_(fs, opened.dataset, options_),
        normalizer_(opened.device) {
    const imgpack::SplitView& split = opened.dataset.split(opened.outcome.split);
    for (uint64_t record = 0; record < split.records(); ++record) records_[split.columns.id[record]] = record;
  }

  uint64_t record_of(uint64_t id) const { return records_.at(id); }

  ReportImage show(const Prediction& prediction, const std::string& cam_layer) {
    const uint64_t record = record_of(prediction.id);
    const uint32_t side = std::min(options_.size, kReportPictureSide);
    SplitImage seen = images_.read(record, options_.size);
    const Picture shown = side == options_.size ? seen.picture : images_.read(record, side).picture;
    ReportImage image{prediction, seen.name, jpeg_file(shown), {}, {}};
    if (cam_layer.empty()) return image;
    const auto size = static_cast<int64_t>(options_.size);
    const torch::Tensor pixels =
        torch::from_blob(seen.picture.rgb.data(), {1, size, size, 3}, torch::kUInt8).to(opened_.device);
    const torch::Tensor map = grad_cam(opened_.model, normalizer_(pixels), {prediction.predicted}, cam_layer);
    image.overlay = jpeg_file(
        overlay(shown, {map.const_data_ptr<float>(), static_cast<size_t>(map.numel())}, options_.size, options_.size));
    return image;
  }

 private:
  OpenedEvaluation& opened_;
  const data::PipelineOptions options_;
  SplitImages images_;
  PixelNormalizer normalizer_;
  std::unordered_map<uint64_t, uint64_t> records_;  // Sample id -> record.
};

// The label set `real` of the split, whose ids were checked when the evaluation took it.
std::optional<imgpack::LabelSet> real_set(imgpack::FileSystem& fs, const OpenedEvaluation& opened) {
  for (const imgpack::LabelSetInfo& info : opened.dataset.manifest().label_sets)
    if (info.name == "real" && info.split == opened.outcome.split)
      return imgpack::read_label_set(fs, opened.dataset.folder(), info);
  return std::nullopt;
}

bool has(const std::vector<int32_t>& labels, int32_t label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

RealFindings real_findings(const imgpack::LabelSet& set, const RealTotals& totals,
                           const std::vector<Prediction>& predictions, Gallery& gallery, size_t most) {
  RealFindings found;
  found.totals = totals;
  std::vector<std::pair<bool, const Prediction*>> disputed;  // Whether ReaL agrees with the model.
  for (const Prediction& prediction : predictions) {
    const std::vector<int32_t>& labels = set.labels[gallery.record_of(prediction.id)];
    if (labels.empty()) continue;
    const bool right = has(labels, prediction.predicted);
    if (!prediction.right() && right) ++found.wrong_but_right;
    if (prediction.right() && !right) ++found.right_but_wrong;
    if (has(labels, prediction.label)) continue;
    ++found.label_disputed;
    disputed.emplace_back(right, &prediction);
  }
  std::sort(disputed.begin(), disputed.end(), [](const auto& a, const auto& b) {
    if (a.first != b.first) return a.first;
    if (a.second->confidence != b.second->confidence) return a.second->confidence > b.second->confidence;
    return a.second->id < b.second->id;
  });
  if (disputed.size() > most) disputed.resize(most);
  for (const auto& [agrees, prediction] : disputed) {
    found.shown.push_back(gallery.show(*prediction, {}));
    found.shown.back().real_labels = set.labels[gallery.record_of(prediction->id)];
  }
  return found;
}

}  // namespace

ReportOutcome report(imgpack::FileSystem& fs, const ReportRequest& request, const std::filesystem::path& scratch,
                     RunListener& listener) {
  const RunRecord run = read_run(fs, request.run);
  const std::string layer = request.cam_layer.empty() ? kGradCamDefaultLayer : request.cam_layer;
  grad_cam_stage(layer);
  Findings findings;
  findings.cost = cost_of(request);

  EvaluateRequest evaluation;
  evaluation.checkpoint = request.run;
  evaluation.shards = request.shards.empty() ? run.config.shards : request.shards;
  evaluation.split = request.split;
  evaluation.best = request.best;
  evaluation.overrides = request.overrides;
  OpenedEvaluation opened = open_evaluation(fs, evaluation, listener);
  if (opened.sync->world() != 1)
    throw Error(ErrorKind::kUsage, "imgtrain report runs in one process, found " +
                                       std::to_string(opened.sync->world()) + " (RANK, WORLD_SIZE or Slurm's)");
  const RunConfig& config = opened.outcome.config;
  ReportOutcome outcome;
  {
    Evaluator evaluator(fs, opened.dataset, opened.outcome.split, config, opened.device, *opened.sync);
    const auto real = real_labels(fs, opened.dataset, opened.outcome.split);
    findings.predictions.reserve(evaluator.images());
    const auto results = evaluator.run(opened.model, listener, {{config.eval_size, config.eval_resize}},
                                       real ? &*real : nullptr, &findings.predictions);
    outcome.stopped = !results;
    if (outcome.stopped) return outcome;
    findings.totals = results->front().totals;
    if (real) findings.real.emplace().totals = results->front().real;
  }
  findings.split = opened.outcome.split;
  findings.model = opened.outcome.model;
  findings.weights = opened.outcome.weights.string();
  findings.eval_size = config.eval_size;
  findings.eval_resize = config.eval_resize;
  findings.classes = opened.outcome.class_list;
  findings.cam_layer = layer;
  findings.created_by = request.created_by;

  Gallery gallery(fs, opened);
  const size_t most = std::min(request.images, kMostReportImages);
  const std::optional<imgpack::LabelSet> set = real_set(fs, opened);
  for (const Prediction& prediction : most_confidently_wrong(findings.predictions, most)) {
    findings.wrong.push_back(gallery.show(prediction, layer));
    if (set) findings.wrong.back().real_labels = set->labels[gallery.record_of(prediction.id)];
  }
  if (set && findings.real)
    findings.real = real_findings(*set, findings.real->totals, findings.predictions, gallery, most);

  std::vector<Chart> charts = run_charts({&run, 1});
  charts.push_back(reliability_diagram(calibration_of(findings.predictions)));
  std::vector<std::string> pictures(charts.size());
  try {
    pictures = inline_charts(fs, charts, scratch);
  } catch (const Error& error) {
    listener.warn(std::string("the report has no curves: ") + error.what());
  }
  outcome.numbers = report_json(run, findings);
  outcome.page = report_page(run, findings, charts, pictures);
  return outcome;
}

}  // namespace imgtrain
