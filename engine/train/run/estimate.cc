#include "engine/train/run/estimate.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "engine/train/run/image_size_schedule.h"
#include "engine/train/run/json_text.h"

namespace imgtrain {

// The text of scripts/aws/prices.tsv; the build puts it into the binary.
extern const char* const kEmbeddedPrices;

namespace {

constexpr double kMib = 1024.0 * 1024.0;
// FFCV's published rate of JPEG decoding with a random crop to 224 px: 31,278 images/s on 96 vCPU.
constexpr double kFfcvDecodePerVcpu = 326;
// Of a machine's memory, what pages of shards may take beside the training itself.
constexpr double kCacheShare = 0.8;
constexpr double kReferenceSize = 224;
// Of training, at which its image size is looked up.
constexpr uint64_t kSizeSamples = 10'000;

// Billions of multiplications of a forward pass at 224 px.
double multiplications(int64_t depth) {
  switch (depth) {
    case 18:
      return 1.81;
    case 34:
      return 3.66;
    case 101:
      return 7.80;
    case 152:
      return 11.51;
    default:
      return 4.09;
  }
}

std::string dollars(const std::optional<double>& value) {
  return value ? "$" + fixed_text(*value, *value < 10 ? 2 : 0) : std::string("-");
}

struct Rates {
  double compute = 0, decode = 0;  // Images a second.
  double storage = 0;              // MiB/s.
  double vcpus = 0;
  double memory_bytes = 0;
};

// Hours, the limiting stage and what would lift it. Rates of 0 are unknown and limit nothing.
void fill(Estimate& estimate, const Rates& rates, const TrainingWork& work, const MachineProbe& probe,
          double overhead) {
  const double bytes = static_cast<double>(probe.bytes_per_image), images = static_cast<double>(probe.images);
  estimate.compute = rates.compute;
  estimate.decode = rates.decode;
  estimate.read = bytes > 0 ? rates.storage * kMib / bytes : 0;
  const bool cached = bytes * images <= kCacheShare * rates.memory_bytes;
  const std::array<std::pair<const char*, double>, 3> stages = {
      {{"compute", estimate.compute}, {"decode", estimate.decode}, {"read", cached ? 0 : estimate.read}}};
  double pace = 0;
  for (const auto& [name, rate] : stages) {
    if (rate <= 0 || (pace > 0 && rate >= pace)) continue;
    pace = rate;
    estimate.limit = name;
  }
  if (pace <= 0) return;
  const double first = estimate.read > 0 ? std::min(pace, estimate.read) : pace;
  const double first_epochs = std::min(1.0, work.epochs);
  estimate.hours = overhead * images * (first_epochs / first + (work.epochs - first_epochs) / pace) / 3600;
  if (estimate.limit == "compute") {
    estimate.lift = "a faster device, smaller images or fewer epochs; input keeps up";
    if (rates.decode > 0) estimate.lift += " (" + fixed_text(100 * pace / rates.decode, 0) + " % of its decoding)";
  } else if (estimate.limit == "decode") {
    const double needed = rates.vcpus * rates.compute / std::max(rates.decode, 1e-9);
    estimate.lift = fixed_text(needed, 0) + " cores would keep the device busy, it has " + fixed_text(rates.vcpus, 0) +
                    "; or smaller images in the shards (imgpack build --resize)";
  } else {
    const double needed = std::min(rates.compute, rates.decode > 0 ? rates.decode : rates.compute) * bytes / kMib;
    estimate.lift = fixed_text(needed, 0) + " MiB/s would keep up; or " +
                    fixed_text(bytes * images / kCacheShare / (1024 * kMib), 0) +
                    " GiB of memory, which hold the shards";
  }
}

}  // namespace

std::string_view embedded_prices() {
  return kEmbeddedPrices;
}

// Planning values for libtorch without fused batch norm, after 5 % for data parallelism where there are several GPUs.
// L4, A10G, L40S and H100 figures are derived from memory bandwidth, none is measured with this program.
const std::vector<InstanceType>& instance_types() {
  static const std::vector<InstanceType> types = {
      {"g5.xlarge", 1, "A10G", 4, 16, 800, "estimate: 700 to 930 by memory bandwidth"},
      {"g5.8xlarge", 1, "A10G", 32, 128, 800, "estimate: 700 to 930 by memory bandwidth"},
      {"g5.12xlarge", 4, "A10G", 48, 192, 3040, "estimate: 4 x 800, 5 % off"},
      {"g6.4xlarge", 1, "L4", 16, 64, 400, "estimate: 350 to 450 by memory bandwidth"},
      {"g6.12xlarge", 4, "L4", 48, 192, 1520, "estimate: 4 x 400, 5 % off"},
      {"g6e.2xlarge", 1, "L40S", 8, 64, 1400, "estimate: 1200 to 1500 by memory bandwidth"},
      {"g6e.12xlarge", 4, "L40S", 48, 384, 5320, "estimate: 4 x 1400, 5 % off"},
      {"g6e.48xlarge", 8, "L40S", 192, 1536, 10640, "estimate: 8 x 1400, 5 % off"},
      {"p4d.24xlarge", 8, "A100", 96, 1152, 14000,
       "NVIDIA DeepLearningExamples ResNet-50 (PyTorch, 8 x A100 80 GB: 16,621), scaled to 40 GB cards"},
      {"p5.48xlarge", 8, "H100", 192, 2048, 22000, "estimate: by memory bandwidth"},
  };
  return types;
}

InstancePrice price_of(std::string_view table, const std::string& instance) {
  InstancePrice price;
  while (!table.empty()) {
    const size_t end = std::min(table.find('\n'), table.size());
    std::string_view line = table.substr(0, end);
    table.remove_prefix(std::min(end + 1, table.size()));
    std::array<std::string_view, 4> fields;
    size_t count = 0;
    for (; count < fields.size() && !line.empty(); ++count) {
      const size_t tab = std::min(line.find('\t'), line.size());
      fields[count] = line.substr(0, tab);
      line.remove_prefix(std::min(tab + 1, line.size()));
    }
    double value = 0;
    const auto [rest, error] = std::from_chars(fields[3].data(), fields[3].data() + fields[3].size(), value);
    if (count < 4 || fields[1] != instance || error != std::errc()) continue;
    if (fields[0] == "ec2.on-demand" && (!price.on_demand || value < *price.on_demand)) price.on_demand = value;
    if (fields[0] == "ec2.spot" && (!price.spot || value < *price.spot)) {
      price.spot = value;
      price.spot_region = std::string(fields[2]);
    }
  }
  return price;
}

TrainingWork work_of(const RunConfig& config, uint64_t batches_per_epoch) {
  const uint64_t per_epoch = std::max<uint64_t>(1, batches_per_epoch);
  const uint64_t steps = std::max<uint64_t>(1, config.duration.whole_batches(per_epoch));
  const ImageSizeSchedule sizes(config, per_epoch, steps);
  const uint64_t samples = std::min(steps, kSizeSamples);
  double area = 0;
  for (uint64_t i = 0; i < samples; ++i) {
    const double side = sizes.trained((2 * i + 1) * steps / (2 * samples));
    area += side * side;
  }
  area /= static_cast<double>(samples);
  const auto largest = static_cast<double>(config.train_size);
  return {config.duration.batches(per_epoch) / static_cast<double>(per_epoch),
          area / (kReferenceSize * kReferenceSize) * multiplications(config.depth) / multiplications(50),
          area / (largest * largest)};
}

Estimate estimate_here(const TrainingWork& work, const MachineProbe& probe, const EstimateOptions& options) {
  Estimate estimate;
  estimate.machine = "this machine";
  estimate.measured = true;
  const double cores = static_cast<double>(probe.cores);
  const bool on_cpu = probe.device == "cpu";
  // On a CPU the same cores decode and compute: the two times of an image add up.
  double compute = probe.train_per_second / work.share_of_largest;
  const double decode = probe.decode_per_core * cores;
  if (on_cpu && decode > 0 && compute > 0) compute = 1 / (1 / compute + 1 / decode);
  fill(estimate, {compute, on_cpu ? 0 : decode, probe.read_mib_s, cores, 0}, work, probe, options.overhead);
  estimate.decode = decode;
  return estimate;
}

Estimate estimate_for(const InstanceType& type, const InstancePrice& price, const TrainingWork& work,
                      const MachineProbe& probe, const EstimateOptions& options) {
  Estimate estimate;
  estimate.machine = type.name;
  const double per_vcpu = options.decode_per_vcpu > 0 ? options.decode_per_vcpu
                          : probe.decode_per_core > 0 ? probe.decode_per_core
                                                      : kFfcvDecodePerVcpu;
  fill(estimate,
       {type.images_per_second / work.share_of_full, per_vcpu * type.vcpus, options.storage_mib_s,
        static_cast<double>(type.vcpus), type.ram_gib * 1024 * kMib},
       work, probe, options.overhead);
  if (price.spot) estimate.dollars_spot = *price.spot * estimate.hours;
  if (price.on_demand) estimate.dollars_on_demand = *price.on_demand * estimate.hours;
  estimate.spot_region = price.spot_region;
  return estimate;
}

boost::json::object to_json(const Estimate& estimate) {
  boost::json::object object{
      {"machine", estimate.machine},
      {"measured", estimate.measured},
      {"hours", estimate.hours},
      {"limit", estimate.limit},
      {"lift", estimate.lift},
      {"images_per_second",
       boost::json::object{{"compute", estimate.compute}, {"decode", estimate.decode}, {"read", estimate.read}}}};
  if (estimate.dollars_spot) {
    object["dollars_spot"] = *estimate.dollars_spot;
    object["spot_region"] = estimate.spot_region;
  }
  if (estimate.dollars_on_demand) object["dollars_on_demand"] = *estimate.dollars_on_demand;
  return object;
}

boost::json::object to_json(const MachineProbe& probe) {
  return {{"device", probe.device},
          {"cpu", probe.cpu},
          {"cores", probe.cores},
          {"read_mib_s", probe.read_mib_s},
          {"past_cache", probe.past_cache},
          {"decode_per_core", probe.decode_per_core},
          {"train_per_second", probe.train_per_second},
          {"images", probe.images},
          {"bytes_per_image", probe.bytes_per_image},
          {"seconds", probe.seconds}};
}

std::string estimate_table(const std::vector<Estimate>& estimates) {
  std::string out;
  char line[256];
  std::snprintf(line, sizeof(line), "%-14s %10s %8s %10s  %-8s %s\n", "machine", "hours", "spot", "on demand", "limit",
                "what would lift it");
  out += line;
  for (const Estimate& estimate : estimates) {
    const std::string hours = fixed_text(estimate.hours, estimate.hours < 10 ? 2 : 1) + (estimate.measured ? " " : "~");
    std::snprintf(line, sizeof(line), "%-14s %10s %8s %10s  %-8s ", estimate.machine.c_str(), hours.c_str(),
                  dollars(estimate.dollars_spot).c_str(), dollars(estimate.dollars_on_demand).c_str(),
                  estimate.limit.c_str());
    out += line + estimate.lift + "\n";
  }
  return out;
}

}  // namespace imgtrain
