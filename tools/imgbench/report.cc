#include "tools/imgbench/report.h"

#include <boost/json.hpp>
#include <cstdio>

#include "tools/cli/units.h"

namespace imgbench {
namespace {

std::string figure(double value) {
  if (value >= 100) return imgpack::cli::format_count(static_cast<uint64_t>(value + 0.5));
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

boost::json::object spread_json(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

}  // namespace

std::string to_text(const Report& report) {
  const Machine& machine = report.machine;
  std::string text = machine.cpu + ", " + std::to_string(machine.cores) +
                     (machine.cores == 1 ? " core, " : " cores, ") + machine.simd + ", " +
                     imgpack::cli::format_bytes(machine.memory_bytes) + "; " + machine.system + "; " +
                     machine.compiler + ", " + machine.build + "\n" + std::to_string(report.settings.threads) +
                     (report.settings.threads == 1 ? " thread, " : " threads, ") +
                     (report.forced_simd.empty() ? "" : "decoders held to " + report.forced_simd + ", ") +
                     report.cache + " page cache; median (lowest - highest) of the repetitions\n\n";
  char line[256];
  std::snprintf(line, sizeof line, "%-18s %-30s %14s %10s  %s\n", "workload", "per second", "per CPU second", "MB/s",
                "checked");
  text += line;
  for (const Measurement& measurement : report.measurements) {
    const Spread items = items_per_second(measurement);
    const std::string rate =
        figure(items.median) + " (" + figure(items.min) + " - " + figure(items.max) + ") " + measurement.entry->unit;
    std::snprintf(line, sizeof line, "%-18s %-30s %14s %10s  ", measurement.entry->name.c_str(), rate.c_str(),
                  figure(items_per_cpu_second(measurement).median).c_str(),
                  figure(bytes_per_second(measurement).median / 1e6).c_str());
    text += line + measurement.checked + "\n";
  }
  return text;
}

std::string to_json(const Report& report) {
  boost::json::array workloads;
  for (const Measurement& measurement : report.measurements) {
    boost::json::array repetitions;
    for (const Repetition& repetition : measurement.repetitions) {
      repetitions.push_back(boost::json::object{{"wall_seconds", repetition.wall_seconds},
                                                {"cpu_seconds", repetition.cpu_seconds},
                                                {"items", repetition.work.items},
                                                {"bytes", repetition.work.bytes}});
    }
    workloads.push_back(boost::json::object{{"name", measurement.entry->name},
                                            {"unit", measurement.entry->unit},
                                            {"checked", measurement.checked},
                                            {"items_per_second", spread_json(items_per_second(measurement))},
                                            {"items_per_cpu_second", spread_json(items_per_cpu_second(measurement))},
                                            {"bytes_per_second", spread_json(bytes_per_second(measurement))},
                                            {"repetitions", std::move(repetitions)}});
  }
  const Machine& machine = report.machine;
  const boost::json::object object = {
      {"message_type", "imgbench"},
      {"version", report.version},
      {"machine", boost::json::object{{"cpu", machine.cpu},
                                      {"cores", machine.cores},
                                      {"simd", machine.simd},
                                      {"memory_bytes", machine.memory_bytes},
                                      {"system", machine.system},
                                      {"compiler", machine.compiler},
                                      {"build", machine.build}}},
      {"settings", boost::json::object{{"shards", report.settings.shards.string()},
                                       {"split", report.settings.split},
                                       {"source", report.settings.source.string()},
                                       {"threads", report.settings.threads},
                                       {"images", report.settings.images},
                                       {"size", report.settings.size},
                                       {"batch", report.settings.batch},
                                       {"reference_decoder", report.settings.reference_decoder},
                                       {"simd", report.forced_simd},
                                       {"cache", report.cache}}},
      {"workloads", std::move(workloads)}};
  return boost::json::serialize(object) + "\n";
}

}  // namespace imgbench
