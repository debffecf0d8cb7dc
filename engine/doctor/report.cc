#include "engine/doctor/report.h"

#include <boost/json.hpp>

#include "engine/train/run/json_text.h"

namespace imgtrain::doctor {
namespace {

namespace json = boost::json;

const char* colour_of(Level level) {
  switch (level) {
    case Level::kOk:
      return "\x1b[32m";
    case Level::kNote:
      return "\x1b[36m";
    case Level::kWarning:
      return "\x1b[33m";
    case Level::kProblem:
      return "\x1b[31m";
  }
  return "";
}

std::string padded(std::string text, size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}

json::object facts_json(const Facts& facts) {
  json::object out;
  out["cpu"] = {{"name", facts.cpu.name},
                {"cores", facts.cpu.cores},
                {"quota_cores", facts.cpu.quota_cores},
                {"simd", facts.cpu.simd}};
  out["memory"] = {{"total_bytes", facts.memory.total_bytes},
                   {"available_bytes", facts.memory.available_bytes},
                   {"limit_bytes", facts.memory.limit_bytes},
                   {"shm_bytes", facts.memory.shm_bytes},
                   {"huge_pages", facts.memory.huge_pages}};
  out["limits"] = {{"open_files_hard", facts.limits.open_files_hard},
                   {"memlock_bytes", facts.limits.memlock_bytes},
                   {"kernel", facts.limits.kernel}};
  out["io_uring"] = {{"usable", facts.io_uring.usable}, {"error", facts.io_uring.error}};
  out["clock"] = {{"now", facts.clock.now}, {"synchronised", nullptr}};
  if (facts.clock.synchronised) out["clock"].as_object()["synchronised"] = *facts.clock.synchronised;
  out["metadata"] = {{"on_ec2", facts.metadata.on_ec2},
                     {"asked", facts.metadata.asked},
                     {"answered", facts.metadata.answered},
                     {"endpoint", facts.metadata.endpoint}};
  json::array folders;
  for (const FolderFacts& folder : facts.folders) {
    folders.push_back({{"path", folder.path},
                       {"error", folder.error},
                       {"writable", folder.writable},
                       {"free_bytes", folder.free_bytes},
                       {"file_system", folder.file_system},
                       {"write_mib_s", folder.write_mib_s},
                       {"write_error", folder.write_error},
                       {"read_mib_s", folder.read_mib_s},
                       {"past_cache", folder.past_cache}});
  }
  out["folders"] = std::move(folders);
  if (facts.gpu) {
    json::array gpus;
    for (const Gpu& gpu : facts.gpu->gpus)
      gpus.push_back({{"name", gpu.name}, {"memory_bytes", gpu.memory_bytes}, {"capability", gpu.capability}});
    out["gpu"] = {{"driver", facts.gpu->driver},
                  {"cuda", facts.gpu->cuda},
                  {"init_error", facts.gpu->init_error},
                  {"devices_on_bus", facts.gpu->devices_on_bus},
                  {"devices", std::move(gpus)}};
  }
  if (facts.torch) {
    out["torch"] = {{"version", facts.torch->built},
                    {"matches", facts.torch->built_abi == facts.torch->loaded_abi},
                    {"path", facts.torch->path},
                    {"cuda", facts.torch->cuda},
                    {"nccl", facts.torch->nccl_loaded}};
  }
  return out;
}

}  // namespace

std::string to_text(const std::vector<Finding>& findings, bool colour) {
  std::string out;
  size_t width = 0, problems = 0, warnings = 0;
  for (const Finding& finding : findings) width = std::max(width, finding.check.size());
  for (const Finding& finding : findings) {
    problems += finding.level == Level::kProblem;
    warnings += finding.level == Level::kWarning;
    const std::string level = padded(to_string(finding.level), 8);
    out += (colour ? colour_of(finding.level) + level + "\x1b[0m" : level) + " " + padded(finding.check, width) + "  " +
           finding.what + "\n";
    if (!finding.fix.empty()) out += std::string(11 + width, ' ') + "-> " + finding.fix + "\n";
  }
  const auto counted = [](size_t count, const char* what) {
    return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
  };
  out += problems + warnings == 0 ? "nothing stands in the way\n"
                                  : counted(problems, "problem") + ", " + counted(warnings, "warning") + "\n";
  return out;
}

std::string to_json(const std::string& program, const Facts& facts, const std::vector<Finding>& findings) {
  json::array rows;
  for (const Finding& finding : findings) {
    rows.push_back(
        {{"check", finding.check}, {"level", to_string(finding.level)}, {"what", finding.what}, {"fix", finding.fix}});
  }
  const json::object report{{"message_type", "doctor"},
                            {"program", program},
                            {"ok", worst(findings) != Level::kProblem},
                            {"findings", std::move(rows)},
                            {"facts", facts_json(facts)}};
  return compact_json(report) + "\n";
}

}  // namespace imgtrain::doctor
