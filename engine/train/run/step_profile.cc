#include "engine/train/run/step_profile.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <iomanip>
#include <sstream>

#include "engine/train/run/json_text.h"

namespace imgtrain {
namespace {

namespace json = boost::json;

LayerWork both(const LayerWork& a, const LayerWork& b) {
  return {a.seconds + b.seconds, a.bytes + b.bytes, a.flops + b.flops};
}

double per_second(double amount, double seconds) {
  return seconds > 0 ? amount / seconds : 0;
}

json::object work_json(const LayerWork& work, const Roofline& roofline) {
  return {{"seconds", work.seconds},
          {"bytes", work.bytes},
          {"flops", work.flops},
          {"bytes_per_second", per_second(work.bytes, work.seconds)},
          {"flops_per_second", per_second(work.flops, work.seconds)},
          {"roofline_seconds", roofline.seconds(work)}};
}

json::object layer_json(const ProfiledLayer& layer, const Roofline& roofline) {
  return {{"name", layer.name},
          {"kind", layer.kind},
          {"shape", layer.shape},
          {"calls", layer.calls},
          {"forward", work_json(layer.forward, roofline)},
          {"backward", work_json(layer.backward, roofline)}};
}

json::object choice_json(const KernelChoice& choice) {
  json::object seconds;
  for (const KernelChoice::Tried& tried : choice.tried)
    seconds[tried.name] = tried.seconds ? json::value(*tried.seconds) : json::value(nullptr);
  return {{"kind", choice.kind},         {"type", choice.type},           {"rows", choice.rows},
          {"channels", choice.channels}, {"seconds", std::move(seconds)}, {"chosen", choice.tried[choice.chosen].name}};
}

// How often each kernel was the faster one, and by how much where it was not the first.
std::string choices_text(const std::vector<KernelChoice>& choices) {
  std::ostringstream out;
  out << "faster kernels by feature map:";
  const std::vector<KernelChoice::Tried>& names = choices.front().tried;
  for (size_t i = 0; i < names.size(); ++i)
    out << (i == 0 ? " " : ", ") << names[i].name << " for "
        << std::count_if(choices.begin(), choices.end(), [&](const KernelChoice& c) { return c.chosen == i; });
  out << "\n";
  const auto milliseconds = [](const KernelChoice::Tried& tried) {
    return tried.seconds ? fixed_text(1e3 * *tried.seconds, 3) + " ms" : std::string("not possible");
  };
  for (const KernelChoice& choice : choices) {
    if (choice.chosen == 0) continue;
    const KernelChoice::Tried& chosen = choice.tried[choice.chosen];
    out << "  " << choice.kind << ", " << choice.rows << " x " << choice.channels << ": " << chosen.name << " "
        << milliseconds(chosen) << ", " << choice.tried[0].name << " " << milliseconds(choice.tried[0]) << "\n";
  }
  return out.str();
}

json::object spread_json(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.least}, {"max", spread.most}};
}

class Table {
 public:
  explicit Table(const StepProfile& profile) : profile_(profile) {}

  void head(const char* what) {
    out_ << "\n"
         << std::left << std::setw(kName) << what << std::setw(kShape) << "output" << std::right << std::setw(10)
         << "forward" << std::setw(10) << "backward" << std::setw(8) << "share" << std::setw(9) << "GB/s"
         << std::setw(9) << "TFLOP/s" << std::setw(10) << "roofline"
         << "\n";
  }
  void row(const ProfiledLayer& layer, const std::string& name) {
    const LayerWork work = both(layer.forward, layer.backward);
    line(name, layer.shape, layer.forward.seconds, layer.backward.seconds);
    out_ << std::setw(9) << fixed_text(per_second(work.bytes, work.seconds) / 1e9, 1) << std::setw(9)
         << fixed_text(per_second(work.flops, work.seconds) / 1e12, 3);
    const double least = profile_.roofline.seconds(work);
    out_ << std::setw(8) << (least > 0 && work.seconds > 0 ? fixed_text(100 * least / work.seconds, 0) : "-") << " %\n";
  }
  void plain(const std::string& name, double seconds) {
    line(name, "", seconds, 0);
    out_ << "\n";
  }
  std::string text() const { return out_.str(); }

 private:
  static constexpr int kName = 31, kShape = 14;

  void line(const std::string& name, const std::string& shape, double forward, double backward) {
    const auto milliseconds = [](double seconds) {
      return seconds > 0 ? fixed_text(1e3 * seconds, 3) : std::string("-");
    };
    out_ << std::left << std::setw(kName) << name << std::setw(kShape) << shape << std::right << std::setw(10)
         << milliseconds(forward) << std::setw(10) << milliseconds(backward) << std::setw(6)
         << fixed_text(100 * per_second(forward + backward, profile_.observed_seconds), 1) << " %";
  }

  const StepProfile& profile_;
  std::ostringstream out_;
};

}  // namespace

double Roofline::seconds(const LayerWork& work) const {
  return std::max(per_second(work.bytes, bytes_per_second), per_second(work.flops, flops_per_second));
}

Spread spread_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

double StepProfile::other_seconds() const {
  double seconds = observed_seconds - exchange_seconds - optimizer_seconds;
  for (const ProfiledLayer& layer : layers) seconds -= layer.forward.seconds + layer.backward.seconds;
  return std::max(0.0, seconds);
}

std::vector<ProfiledLayer> by_kind(const std::vector<ProfiledLayer>& layers) {
  std::vector<ProfiledLayer> kinds;
  for (const ProfiledLayer& layer : layers) {
    auto row = std::find_if(kinds.begin(), kinds.end(), [&](const auto& other) { return other.kind == layer.kind; });
    if (row == kinds.end()) {
      kinds.push_back({"", layer.kind, "", 0, {}, {}});
      row = kinds.end() - 1;
    }
    row->calls += layer.calls;
    row->forward = both(row->forward, layer.forward);
    row->backward = both(row->backward, layer.backward);
  }
  std::stable_sort(kinds.begin(), kinds.end(), [](const ProfiledLayer& a, const ProfiledLayer& b) {
    return a.forward.seconds + a.backward.seconds > b.forward.seconds + b.backward.seconds;
  });
  return kinds;
}

std::string to_text(const StepProfile& p) {
  std::ostringstream out;
  out << p.model << " at " << p.size << " px, batch " << p.batch << " in groups of " << p.group << ", " << p.precision
      << (p.fused ? ", fused kernels" : ", separate kernels") << (p.cuda_graphs ? ", replayed as CUDA graphs" : "")
      << ", on " << p.device << "\n";
  out << "step: " << fixed_text(1e3 * p.step_seconds.median, 2) << " ms (from "
      << fixed_text(1e3 * p.step_seconds.least, 2) << " to " << fixed_text(1e3 * p.step_seconds.most, 2) << " over "
      << p.rounds << " rounds of " << p.steps << "), " << fixed_text(p.images_per_second.median, 1) << " images/s from "
      << (p.real_input ? "shards" : "made-up batches on the device") << ", " << fixed_text(p.cores_used, 2)
      << " CPU cores in use\n";
  out << "peak memory: " << fixed_text(static_cast<double>(p.peak_bytes) / (1 << 20), 0) << " MiB\n";
  out << "roofline: " << fixed_text(p.roofline.bytes_per_second / 1e9, 1) << " GB/s (copy), "
      << fixed_text(p.roofline.flops_per_second / 1e12, 3) << " TFLOP/s (matrix multiplication), measured here\n";
  if (!p.choices.empty()) out << choices_text(p.choices);
  out << "a step with a clock at every layer: " << fixed_text(1e3 * p.observed_seconds, 2)
      << " ms, divided below; milliseconds\n";
  Table kinds(p);
  kinds.head("kind of layer");
  for (const ProfiledLayer& kind : by_kind(p.layers)) {
    ProfiledLayer row = kind;
    row.shape = std::to_string(kind.calls) + (kind.calls == 1 ? " call" : " calls");
    kinds.row(row, kind.kind);
  }
  if (p.exchange_seconds > 0) kinds.plain("exchange of gradients", p.exchange_seconds);
  kinds.plain("optimizer", p.optimizer_seconds);
  kinds.plain("everything else", p.other_seconds());
  Table layers(p);
  layers.head("layer");
  for (const ProfiledLayer& layer : p.layers) layers.row(layer, layer.name);
  return out.str() + kinds.text() + layers.text();
}

boost::json::object to_json(const StepProfile& p) {
  json::array layers, kinds, choices;
  for (const KernelChoice& choice : p.choices) choices.push_back(choice_json(choice));
  for (const ProfiledLayer& layer : p.layers) layers.push_back(layer_json(layer, p.roofline));
  for (const ProfiledLayer& kind : by_kind(p.layers)) {
    json::object row = layer_json(kind, p.roofline);
    row.erase("name");
    row.erase("shape");
    kinds.push_back(std::move(row));
  }
  return {{"message_type", "profile"},
          {"device", p.device},
          {"model", p.model},
          {"precision", p.precision},
          {"fused", p.fused},
          {"cuda_graphs", p.cuda_graphs},
          {"batch", p.batch},
          {"group", p.group},
          {"size", p.size},
          {"input", p.real_input ? "shards" : "synthetic"},
          {"rounds", p.rounds},
          {"steps", p.steps},
          {"step_seconds", spread_json(p.step_seconds)},
          {"images_per_second", spread_json(p.images_per_second)},
          {"cores_used", p.cores_used},
          {"peak_bytes", p.peak_bytes},
          {"roofline", json::object{{"bytes_per_second", p.roofline.bytes_per_second},
                                    {"flops_per_second", p.roofline.flops_per_second}}},
          {"observed_seconds", p.observed_seconds},
          {"exchange_seconds", p.exchange_seconds},
          {"optimizer_seconds", p.optimizer_seconds},
          {"other_seconds", p.other_seconds()},
          {"kernel_choices", std::move(choices)},
          {"kinds", std::move(kinds)},
          {"layers", std::move(layers)}};
}

}  // namespace imgtrain
