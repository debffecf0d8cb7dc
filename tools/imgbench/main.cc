// imgbench: how fast each stage is on this machine, with its answer checked first.
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <thread>

#include "format/error.h"
#include "format/file.h"
#include "format/jpeg/simd_target.h"
#include "format/nearest_name.h"
#include "tools/cli/arguments.h"
#include "tools/cli/build_details.h"
#include "tools/cli/console.h"
#include "tools/cli/program.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/imgbench/report.h"
#include "tools/imgbench/workloads.h"

namespace {

using namespace imgpack;
using namespace imgbench;

const WorkloadEntry& find_workload(const std::string& name) {
  std::vector<std::string> names;
  for (const WorkloadEntry& entry : workloads()) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  throw Error(ErrorKind::kUsage, "unknown workload '" + name + "'" + did_you_mean(name, names), {}, {},
              "imgbench list");
}

const char* missing_input(const WorkloadEntry& entry, const BenchSettings& settings) {
  if (entry.needs == Needs::kShards && settings.shards.empty()) return "--shards DIR";
  if (entry.needs == Needs::kSource && settings.source.empty()) return "--source DIR";
  return nullptr;
}

// Named workloads must have what they need; without names, those that have it run.
std::vector<const WorkloadEntry*> chosen(const std::vector<std::string>& names, const BenchSettings& settings) {
  std::vector<const WorkloadEntry*> result;
  for (const std::string& name : names) {
    const WorkloadEntry& entry = find_workload(name);
    if (const char* missing = missing_input(entry, settings))
      throw Error(ErrorKind::kUsage, "workload " + name + " needs " + missing);
    result.push_back(&entry);
  }
  if (!names.empty()) return result;
  for (const WorkloadEntry& entry : workloads()) {
    if (entry.only_by_name) {
      cli::console().say("left out: " + entry.name + " runs only when it is named");
    } else if (const char* missing = missing_input(entry, settings)) {
      cli::console().say("left out: " + entry.name + " needs " + missing);
    } else {
      result.push_back(&entry);
    }
  }
  if (result.empty()) throw Error(ErrorKind::kUsage, "nothing to run: give --shards DIR, --source DIR or both");
  return result;
}

// A folder for this run alone, removed at its end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "imgbench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw Error(ErrorKind::kIo, "cannot make a temporary folder", name);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

int run(const cli::Arguments& arguments) {
  const TemporaryFolder temporary;
  Report report;
  BenchSettings& settings = report.settings;
  settings.shards = arguments.find("shards").value_or("");
  settings.source = arguments.find("source").value_or("");
  settings.split = arguments.text("split");
  settings.temporary = temporary.path();
  settings.threads = static_cast<uint32_t>(arguments.number("threads", 0, 1024));
  if (settings.threads == 0) settings.threads = std::max(1u, std::thread::hardware_concurrency());
  settings.images = arguments.number("images", 1);
  settings.size = static_cast<uint32_t>(arguments.number("size", 1, 4096));
  settings.batch = static_cast<uint32_t>(arguments.number("batch", 1, 1 << 20));
  settings.reference_decoder = arguments.text("decoder") == "reference";
  report.cache = arguments.text("cache");
  report.version = IMGPACK_VERSION;
  report.machine = this_machine();
  std::unique_ptr<jpeg::ForcedSimdTarget> simd;
  if (const auto target = arguments.find("simd"); target.has_value())
    simd = std::make_unique<jpeg::ForcedSimdTarget>(*target);
  report.forced_simd = arguments.find("simd").value_or("");
  const uint64_t repetitions = arguments.number("repetitions", 1, 10000);
  const double min_seconds = arguments.real("seconds", 0, 3600);

  std::vector<std::unique_ptr<Workload>> made;
  for (const WorkloadEntry* entry : chosen(arguments.positionals("WORKLOAD"), settings)) {
    cli::throw_if_stopped("nothing was measured");
    made.push_back(entry->make(settings));
    report.measurements.push_back({entry, made.back()->check(), {}});
    cli::console().say(entry->name + ": " + report.measurements.back().checked);
  }
  // Interleaved, so that whatever else the machine does meets all of them alike.
  for (uint64_t i = 0; i < repetitions; ++i) {
    for (size_t w = 0; w < made.size(); ++w) {
      cli::throw_if_stopped("nothing was reported");
      if (report.cache == "cold") evict(made[w]->files());
      report.measurements[w].repetitions.push_back(measure_once(*made[w], min_seconds));
    }
  }
  if (const auto file = arguments.find("output"); file.has_value())
    publish(posix_file_system(), *file, to_json(report));
  std::cout << (arguments.has("json") ? to_json(report) : to_text(report));
  return cli::kExitOk;
}

int list(const cli::Arguments&) {
  for (const WorkloadEntry& entry : workloads()) {
    const char* needs = entry.needs == Needs::kShards   ? " (--shards)"
                        : entry.needs == Needs::kSource ? " (--source)"
                                                        : "";
    std::cout << entry.name << std::string(entry.name.size() < 18 ? 18 - entry.name.size() : 1, ' ') << entry.summary
              << needs << "\n";
  }
  return cli::kExitOk;
}

cli::Verb run_verb() {
  cli::Verb verb;
  verb.name = "run";
  verb.summary = "Time workloads on this machine";
  verb.description =
      "Each workload first runs once and checks its own answer; a wrong one ends the run. Then all of them are "
      "repeated in turn, so that whatever else the machine does meets all alike. The table gives the median and the "
      "lowest and highest repetition, per second of wall time and of CPU time.";
  verb.positionals = {{.name = "WORKLOAD",
                       .help =
                           "What to time: see `imgbench list`. Without any: all that have what they need and do not "
                           "take minutes.",
                       .required = false,
                       .repeatable = true}};
  verb.options = {
      {.name = "shards", .value = "DIR", .help = "A folder of shards, for the workloads that read."},
      {.name = "split", .value = "NAME", .help = "The split of it to read.", .default_value = "train"},
      {.name = "source", .value = "DIR", .help = "A folder of raw images, for scan and pack."},
      cli::threads_option(),
      {.name = "repetitions", .value = "N", .help = "How often each workload is timed.", .default_value = "5"},
      {.name = "seconds",
       .value = "S",
       .help = "A repetition runs the workload again until so much time has passed.",
       .default_value = "1"},
      {.name = "cache",
       .value = "STATE",
       .help = "Of the page cache before each repetition: as it is after the warm-up, or the files evicted.",
       .default_value = "warm",
       .choices = {"warm", "cold"}},
      {.name = "images", .value = "N", .help = "How many images one run takes, at most.", .default_value = "1000"},
      {.name = "size", .value = "PIXELS", .help = "Side of the decoded images.", .default_value = "224"},
      {.name = "batch", .value = "N", .help = "Images in a batch.", .default_value = "128"},
      {.name = "decoder",
       .value = "NAME",
       .help = "Which decoder the pipelines use.",
       .default_value = "auto",
       .choices = {"auto", "reference"}},
      {.name = "simd",
       .value = "TARGET",
       .help = "Force the decoders onto one instruction set, such as AVX2, as a lesser machine would use."},
      {.name = "output", .value = "FILE", .help = "Write the result there as JSON too."},
      cli::json_option(),
  };
  verb.examples = {{"imgbench run --shards imagenet.shards --threads 1", "Everything that reads shards, on one core."},
                   {"imgbench run pipeline decode --shards imagenet.shards --json", "What batching costs."}};
  verb.exit_status = cli::usual_exit_status();
  verb.run = run;
  return verb;
}

cli::Verb list_verb() {
  cli::Verb verb;
  verb.name = "list";
  verb.summary = "Name the workloads";
  verb.description = "One line each, with the input that it needs.";
  verb.exit_status = cli::usual_exit_status();
  verb.run = list;
  return verb;
}

}  // namespace

int main(int argc, char** argv) {
  cli::catch_stop_signals();
  cli::Program program;
  program.name = "imgbench";
  program.version = IMGPACK_VERSION;
  program.summary = "measures how fast each stage is on this machine";
  program.description =
      "Reading, decoding, the whole input pipeline, packing: named workloads that check their answer before they are "
      "timed.";
  program.verbs = {run_verb(), list_verb()};
  program.build_details = cli::build_details();
  return cli::run_program(program, argc, argv);
}
