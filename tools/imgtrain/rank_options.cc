#include "tools/imgtrain/rank_options.h"

#include <fstream>
#include <utility>

#include "engine/train/device_count.h"
#include "engine/train/run/launch.h"
#include "engine/train/run/local_ranks.h"
#include "format/error.h"
#include "tools/cli/console.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;
using imgpack::Error;
using imgpack::ErrorKind;

constexpr uint64_t kMostRanks = 1024;

int gpus_of(const cli::Arguments& arguments) {
  const int there = cuda_device_count();
  const bool all = arguments.text("gpus") == "all";
  const auto wanted = all ? static_cast<uint64_t>(there) : arguments.number("gpus", 1, kMostRanks);
  if (there == 0 || wanted > static_cast<uint64_t>(there))
    throw Error(ErrorKind::kUsage,
                "--gpus: expected " + (all ? std::string("a CUDA device") : std::to_string(wanted) + " CUDA devices") +
                    " and the driver, found " + std::to_string(there),
                {}, {}, "--ranks N starts N processes that compute on the CPU");
  return static_cast<int>(wanted);
}

// This process's command line, without its name and without what started the ranks.
std::vector<std::string> own_words() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> words;
  bool skip = true;  // The program's name.
  for (std::string word; std::getline(file, word, '\0');) {
    if (std::exchange(skip, false)) continue;
    if (word == "--gpus" || word == "--ranks") {
      skip = true;  // Its value.
    } else if (!word.starts_with("--gpus=") && !word.starts_with("--ranks=")) {
      words.push_back(word);
    }
  }
  return words;
}

}  // namespace

std::vector<cli::Option> rank_options() {
  return {{.name = "gpus",
           .value = "all|N",
           .help = "Start one process for each GPU of this machine, or for the first N of them."},
          {.name = "ranks", .value = "N", .help = "Start N processes on this machine that compute on the CPU."}};
}

std::optional<int> launched_ranks(const cli::Arguments& arguments) {
  const bool gpus = arguments.has("gpus"), ranks = arguments.has("ranks");
  if (!gpus && !ranks) return std::nullopt;
  if (gpus && ranks) throw Error(ErrorKind::kUsage, "--gpus and --ranks: expected one of the two");
  const Launch launch = launch_from_environment();
  if (launch.launcher != "none")
    throw Error(ErrorKind::kUsage,
                std::string(gpus ? "--gpus" : "--ranks") + " starts ranks, and this process is rank " +
                    std::to_string(launch.rank) + " of " + std::to_string(launch.world) + " already",
                {}, {}, "leave the option out under torchrun and srun");
  LocalRanks options;
  options.count = gpus ? gpus_of(arguments) : static_cast<int>(arguments.number("ranks", 1, kMostRanks));
  options.arguments = own_words();
  options.arguments.push_back(std::string("--device=") + (gpus ? "cuda" : "cpu"));
  options.warn = [](const std::string& line) { cli::console().warn(line); };
  return run_local_ranks(options);
}

}  // namespace imgtrain
