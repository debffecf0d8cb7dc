#include <cmath>
#include <filesystem>
#include <iostream>

#include "format/ingest/build_estimate.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/pack_plan.h"
#include "format/ingest/thread_limit.h"
#include "tools/cli/units.h"
#include "tools/imgpack/pack_options.h"
#include "tools/imgpack/source_step.h"
#include "tools/imgpack/verbs.h"

namespace imgpack {
namespace {

std::string shards_text(uint64_t shards, uint64_t bytes) {
  return cli::format_count(shards) + (shards == 1 ? " shard of about " : " shards of about ") +
         cli::format_bytes(bytes / shards);
}

std::string seconds_text(double seconds) {
  const auto whole = static_cast<uint64_t>(std::ceil(seconds));
  if (whole < 120) return std::to_string(whole) + " s";
  if (whole < 7200) return std::to_string((whole + 59) / 60) + " min";
  return std::to_string(whole / 3600) + " h " + std::to_string(whole / 60 % 60) + " min";
}

uint64_t free_bytes_of(std::filesystem::path place) {
  place = std::filesystem::absolute(place);
  while (!std::filesystem::exists(place) && place != place.root_path()) place = place.parent_path();
  return posix_file_system().free_bytes(place);
}

void print_estimate(const PackCommand& command, const ingest::BuildEstimate& estimate, const ingest::PackTrial& trial,
                    uint32_t threads) {
  const uint64_t free = free_bytes_of(command.out);
  std::cout << "disk: about " << cli::format_bytes(estimate.disk_bytes);
  if (estimate.extra_disk_bytes > 0)
    std::cout << ", and at most " << cli::format_bytes(estimate.extra_disk_bytes) << " more while it is built";
  std::cout << "; " << cli::format_bytes(free) << " free\n";
  if (estimate.seconds) {
    std::cout << "time: about " << seconds_text(*estimate.seconds) << " on " << threads
              << (threads == 1 ? " thread" : " threads") << " where the disk keeps up (" << trial.images
              << " images packed for a try)\n";
  }
  std::cout << "memory: at most about " << cli::format_bytes(estimate.memory_bytes) << "\n";
  if (free < estimate.disk_bytes + estimate.extra_disk_bytes)
    std::cout << "this does not fit on the disk of " << command.out.string() << "\n";
}

std::string estimate_json(const PackCommand& command, const ingest::BuildEstimate& estimate) {
  return "\"estimate\": {\"disk_bytes\": " + std::to_string(estimate.disk_bytes) +
         ", \"extra_disk_bytes\": " + std::to_string(estimate.extra_disk_bytes) +
         ", \"free_bytes\": " + std::to_string(free_bytes_of(command.out)) +
         ", \"memory_bytes\": " + std::to_string(estimate.memory_bytes) + ", \"seconds\": " +
         (estimate.seconds ? std::to_string(static_cast<uint64_t>(std::ceil(*estimate.seconds))) : "null") + "}";
}

int print_plan(const PackCommand& command, const ingest::LabeledSource& source, const ingest::PackTrial& trial,
               bool is_archive) {
  const ingest::PackPlan plan = ingest::make_plan(source, command.build.pack);
  const uint32_t threads = ingest::threads_in_use();
  const auto estimate = ingest::estimate_build({plan.images(), plan.source_bytes(), plan.splits.size(), is_archive},
                                               trial, command.build.pack, threads);
  if (command.json) {
    std::cout << "{\"message_type\": \"plan\", \"exact\": true, \"classes\": " << source.classes.classes.size()
              << ", \"splits\": [";
    for (const ingest::PlannedSplit& split : plan.splits) {
      std::cout << (&split == &plan.splits.front() ? "" : ", ") << "{\"name\": \"" << split.name
                << "\", \"images\": " << split.order.size() << ", \"source_bytes\": " << split.source_bytes
                << ", \"shards\": " << split.shards() << "}";
    }
    std::cout << "], " << estimate_json(command, estimate) << "}\n";
    return 0;
  }
  for (const ingest::PlannedSplit& split : plan.splits) {
    std::cout << split.name << ": " << cli::format_count(split.order.size()) << " images, "
              << cli::format_bytes(split.source_bytes) << ", " << shards_text(split.shards(), split.source_bytes)
              << "\n";
  }
  print_estimate(command, estimate, trial, threads);
  return 0;
}

// What a compressed archive tells without being read through.
int print_guess(const PackCommand& command, const ingest::ArchiveSet& archives, const ingest::PackTrial& trial) {
  const uint64_t bytes = archives.bytes();
  const uint32_t threads = ingest::threads_in_use();
  const auto estimate = ingest::estimate_build({0, bytes, 3, true}, trial, command.build.pack, threads);
  const uint64_t per_image = trial.images == 0 ? 0 : trial.source_bytes / trial.images;
  const uint64_t images = per_image == 0 ? 0 : bytes / per_image;
  const uint64_t shards = ingest::shard_count_for(bytes, std::max<uint64_t>(1, images), command.build.pack.shard_bytes);
  if (command.json) {
    std::cout << "{\"message_type\": \"plan\", \"exact\": false, \"archive_bytes\": " << bytes
              << ", \"images\": " << images << ", \"shards\": " << shards << ", " << estimate_json(command, estimate)
              << "}\n";
    return 0;
  }
  std::cout << "about " << cli::format_count(images) << " images, " << cli::format_bytes(bytes) << " compressed, about "
            << shards_text(shards, bytes) << "\n";
  print_estimate(command, estimate, trial, threads);
  std::cout << "not known before the archive is read through: its images, splits and labels, and so the exact number "
               "of shards (--exact reads it)\n";
  return 0;
}

int run_plan(const cli::Arguments& arguments) {
  const PackCommand command = read_pack_command(arguments);
  const ingest::ThreadLimit threads(command.threads);
  FileSystem& fs = posix_file_system();
  const FoundSource found = find_source(command);
  const ingest::PackOptions& options = command.build.pack;
  if (found.labeled) {
    const auto reader = ingest::make_folder_reader(fs, found.labeled->scan.root);
    return print_plan(command, *found.labeled, ingest::try_images(found.labeled->scan, *reader, options), false);
  }
  const ingest::PackTrial trial = ingest::try_archive(fs, *found.archives, options);
  if (!found.archives->is_seekable() && !arguments.has("exact")) return print_guess(command, *found.archives, trial);
  return print_plan(command, read_archive_labels(command, *found.archives), trial, true);
}

}  // namespace

cli::Verb plan_verb() {
  cli::Verb verb;
  verb.name = "plan";
  verb.summary = "Show what build would do, and write nothing";
  verb.description =
      "Looks at the source, reads and compares its labels, and prints how many shards of which size there would be, "
      "and "
      "about how much disk, time and memory they take. A few images are packed for a try.\n\n"
      "Of a tar or zip, names and sizes are read and images passed over. A compressed archive (.tar.gz, or a .zip that "
      "holds one) tells its size only; --exact reads it through.";
  verb.positionals = pack_positionals();
  verb.options = pack_options();
  verb.options.insert(verb.options.begin() + 3,
                      {.name = "exact", .value = "", .help = "Read a compressed archive through for the exact plan."});
  verb.examples = {{"imgpack plan /mnt/data/imagenet --shard-size 1GiB", "How many shards would that be?"}};
  verb.exit_status = cli::usual_exit_status();
  verb.run = run_plan;
  return verb;
}

}  // namespace imgpack
