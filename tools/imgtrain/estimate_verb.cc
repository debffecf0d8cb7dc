// imgtrain estimate: hours and dollars of a training before it is paid for.
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <iostream>

#include "engine/data/sample_order.h"
#include "engine/train/run/estimate.h"
#include "engine/train/run/input_options.h"
#include "engine/train/run/json_text.h"
#include "engine/train/trial.h"
#include "format/dataset.h"
#include "format/file.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/cli/units.h"
#include "tools/imgtrain/config_options.h"
#include "tools/imgtrain/console_listener.h"
#include "tools/imgtrain/data_files.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;

std::vector<Estimate> estimates_of(const RunConfig& config, const MachineProbe& probe, const EstimateOptions& options) {
  const uint64_t batches = std::max<uint64_t>(1, probe.images / static_cast<uint64_t>(config.batch));
  const TrainingWork work = work_of(config, batches);
  std::vector<Estimate> estimates = {estimate_here(work, probe, options)};
  for (const InstanceType& type : instance_types())
    estimates.push_back(estimate_for(type, price_of(embedded_prices(), type.name), work, probe, options));
  return estimates;
}

void print(const MachineProbe& probe, const std::vector<Estimate>& estimates, const EstimateOptions& options) {
  char text[400];
  std::snprintf(text, sizeof(text),
                "measured here in %.0f s: %s, %lld cores; disk %.0f MiB/s%s; decoding %.0f images/s and core; training "
                "%.1f images/s\n",
                probe.seconds, probe.device.c_str(), static_cast<long long>(probe.cores), probe.read_mib_s,
                probe.past_cache ? "" : " (through the page cache: more than the disk may give)", probe.decode_per_core,
                probe.train_per_second);
  std::cout
      << text << cli::format_count(probe.images) << " images of " << cli::format_bytes(probe.bytes_per_image) << "\n\n"
      << estimate_table(estimates)
      << "\n~ estimated: throughputs of a table (imgtrain estimate --json names its sources), decoding as measured "
         "here, volumes of "
      << options.storage_mib_s << " MiB/s, prices of scripts/aws/prices.tsv\n";
}

int run(const cli::Arguments& arguments) {
  const ResolvedConfig resolved = resolve_arguments(arguments);
  const auto budget = std::chrono::seconds(arguments.number("seconds", 3, 60));
  EstimateOptions options;
  options.storage_mib_s = arguments.real("storage", 1, 1e6);
  ConsoleListener listener(cli::console(), arguments.has("quiet"));
  MachineProbe probe = probe_machine(data_files(arguments), resolved.values, budget, listener);
  cli::throw_if_stopped("nothing was written");
  if (arguments.find("images")) probe.images = arguments.number("images", 1, uint64_t{1} << 40);
  const std::vector<Estimate> estimates = estimates_of(resolved.values, probe, options);
  if (!arguments.has("json")) {
    print(probe, estimates, options);
    return cli::kExitOk;
  }
  boost::json::array list;
  for (const Estimate& estimate : estimates) {
    boost::json::object row = to_json(estimate);
    for (const InstanceType& type : instance_types())
      if (type.name == estimate.machine) row["source"] = type.source;
    list.push_back(std::move(row));
  }
  std::cout << compact_json(boost::json::object{
                   {"message_type", "estimate"}, {"probe", to_json(probe)}, {"estimates", std::move(list)}})
            << "\n";
  return cli::kExitOk;
}

}  // namespace

cli::Verb estimate_verb() {
  cli::Verb verb;
  verb.name = "estimate";
  verb.summary = "estimate hours and dollars of a training, here and rented";
  verb.description =
      "Probes this machine for up to a minute (reads shards, decodes them as training would, trains on made-up "
      "images), "
      "and says how long the same options would train: here, and on machine types of a table with its own throughputs "
      "and prices. For each it names the stage that limits and what would lift it. Rows marked ~ are estimates.";
  verb.options = layer_options();
  verb.options.push_back({.name = "images",
                          .value = "N",
                          .help = "Images of the set that will be trained on, where --shards is a sample of it."});
  verb.options.push_back({.name = "seconds", .value = "N", .help = "Longest probe, 3 to 60.", .default_value = "60"});
  verb.options.push_back({.name = "storage",
                          .value = "MIBPS",
                          .help = "MiB/s that the volume of a rented machine gives (gp3: 125 to 1000, as provisioned).",
                          .default_value = "1000"});
  verb.options.push_back(cli::json_option());
  verb.options.push_back(cli::quiet_option());
  cli::append(verb.options, config_options());
  cli::append(verb.options, url_options());
  verb.examples = {{"imgtrain estimate --shards sample.shards --images 1281167 --recipe reference",
                    "the whole ImageNet from a sample of it"}};
  verb.exit_status = cli::usual_exit_status({{4, "shards are damaged"}});
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
