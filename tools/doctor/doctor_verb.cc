#include "tools/doctor/doctor_verb.h"

#include <unistd.h>

#include <iostream>

#include "engine/doctor/probe.h"
#include "engine/doctor/report.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;

// A metadata service is one hop away; where there is none, nobody wants to wait for it.
constexpr std::chrono::milliseconds kMetadataTimeout{500};

int run(const std::string& program, const std::function<void(doctor::Facts&)>& add, const cli::Arguments& arguments) {
  doctor::Facts facts = doctor::probe_machine(kMetadataTimeout);
  if (add) add(facts);
  doctor::FolderProbe probe;
  probe.bytes = arguments.number("probe-mib", 8, 65536) << 20;
  for (const std::string& folder : arguments.positionals("DIR")) {
    cli::throw_if_stopped("nothing was changed");
    facts.folders.push_back(doctor::probe_folder(folder, probe));
  }
  const std::vector<doctor::Finding> findings = doctor::examine(facts);
  if (arguments.has("json")) {
    std::cout << doctor::to_json(program, facts, findings);
  } else {
    // Colour follows where the report goes; NO_COLOR and TERM are the console's to know.
    std::cout << doctor::to_text(findings, isatty(STDOUT_FILENO) != 0 && cli::console().has_colour());
  }
  return doctor::worst(findings) == doctor::Level::kProblem ? cli::kExitFailed : cli::kExitOk;
}

}  // namespace

cli::Verb make_doctor_verb(const std::string& program, std::function<void(doctor::Facts&)> add) {
  cli::Verb verb;
  verb.name = "doctor";
  verb.summary =
      program == "imgtrain" ? "check this machine, and name what to fix" : "Check this machine, and name what to fix";
  verb.description =
      "CPU features and cores, memory and its limits, open files, io_uring, clock, EC2's metadata service";
  if (program == "imgtrain") verb.description += ", NVIDIA's driver and GPUs, NCCL, libtorch";
  verb.description +=
      "; with DIR, the speed of that folder's disk. Nothing is changed.\n\nok: as it should be. note: works, good to "
      "know. warning: works, but slower or less safe than it could be. problem: something will fail.";
  verb.positionals = {{.name = "DIR",
                       .help = "Folders whose disks are measured: a temporary file without a name is written and read, "
                               "or where nothing can be written, the largest file in it is read.",
                       .required = false,
                       .repeatable = true}};
  verb.options = {{.name = "probe-mib",
                   .value = "MIB",
                   .help = "Written and read for that, at most, and never for longer than 4 s each.",
                   .default_value = "256"},
                  cli::json_option()};
  verb.examples = {{program + " doctor", "What stands in the way here?"},
                   {program + " doctor /mnt/data --json", "With the disk's speed, for a script."}};
  verb.exit_status = cli::usual_exit_status({{cli::kExitOk, "no problem; there may be warnings"},
                                             {cli::kExitFailed, "at least one problem"},
                                             {cli::kExitInterrupted, "stopped by SIGTERM"},
                                             {cli::kExitSigint, "stopped by Ctrl-C"}});
  verb.run = [program, add = std::move(add)](const cli::Arguments& arguments) { return run(program, add, arguments); };
  return verb;
}

}  // namespace imgtrain
