// imgpack push and pull: a whole dataset to S3, and from there or from a web server to a folder.
#include <algorithm>
#include <iostream>

#include "format/error.h"
#include "format/remote/remote_file_system.h"
#include "format/remote/transfer.h"
#include "format/strict_json.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
#include "tools/cli/progress.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/cli/units.h"
#include "tools/imgpack/remote_options.h"
#include "tools/imgpack/verbs.h"

namespace imgpack {
namespace {

constexpr uint64_t kMinPartBytes = uint64_t{5} << 20;  // S3's rule for all parts but the last.
constexpr uint64_t kMaxPartBytes = uint64_t{1} << 30;

using Transfer = std::function<remote::TransferReport(const remote::TransferOptions&)>;

// Runs the transfer under a bar and prints what was done.
int run_transfer(const cli::Arguments& arguments, const std::string& title, const std::string& target,
                 const Transfer& transfer) {
  remote::TransferOptions options;
  options.connections = static_cast<uint32_t>(arguments.number("connections", 1, 1024));
  options.part_bytes = arguments.bytes("part-size");
  if (options.part_bytes < kMinPartBytes || options.part_bytes > kMaxPartBytes)
    throw Error(ErrorKind::kUsage, "--part-size: expected 5MiB to 1GiB, found " + arguments.text("part-size"));
  cli::ProgressOptions progress_options;
  progress_options.title = title;
  progress_options.unit = "files";
  progress_options.quiet = arguments.has("quiet");
  cli::Progress progress(cli::console(), progress_options);
  remote::TransferProgress before;
  options.progress = [&](const remote::TransferProgress& now) {
    cli::throw_if_stopped("what is there already is kept: run the same command to go on");
    if (now.total_bytes > 0) {
      const uint64_t share = std::min<uint64_t>(now.bytes * 100 / now.total_bytes, 100);
      progress.set_note(std::to_string(share) + " % of " + cli::format_bytes(now.total_bytes));
    }
    progress.advance(now.files - before.files, now.bytes - before.bytes);
    before = now;
  };
  const remote::TransferReport report = transfer(options);
  progress.finish();
  if (arguments.has("json")) {
    std::cout << "{\"message_type\": \"" << title << "\", \"target\": " << json_quote(target)
              << ", \"dataset_id\": " << json_quote(report.dataset_id) << ", \"files\": " << report.files
              << ", \"bytes\": " << report.bytes << ", \"skipped_files\": " << report.skipped_files
              << ", \"skipped_bytes\": " << report.skipped_bytes << "}\n";
    return cli::kExitOk;
  }
  std::cout << target << ": dataset " << report.dataset_id << ", " << cli::format_count(report.files) << " files, "
            << cli::format_bytes(report.bytes);
  if (report.skipped_files > 0) {
    std::cout << "; " << cli::format_count(report.skipped_files) << " (" << cli::format_bytes(report.skipped_bytes)
              << ") were there already";
  }
  std::cout << "\n";
  return cli::kExitOk;
}

int run_push(const cli::Arguments& arguments) {
  const std::string folder = arguments.positional("DIR"), url = arguments.positional("URL");
  use_patience(arguments);
  return run_transfer(arguments, "push", url, [&](const remote::TransferOptions& options) {
    return remote::push_dataset(posix_file_system(), folder, remote::object_store(), url, options);
  });
}

int run_pull(const cli::Arguments& arguments) {
  const std::string url = arguments.positional("URL"), folder = arguments.positional("DIR");
  use_patience(arguments);
  if (remote::is_remote(folder))
    throw Error(ErrorKind::kUsage, "pull writes to a folder: expected URL and DIR, found two URLs");
  return run_transfer(arguments, "pull", folder, [&](const remote::TransferOptions& options) {
    return remote::pull_dataset(remote::any_file_system(), url, posix_file_system(), folder, options);
  });
}

std::vector<cli::Option> transfer_options() {
  return {{.name = "connections", .value = "N", .help = "Files at once.", .default_value = "16"},
          {.name = "part-size",
           .value = "BYTES",
           .help = "How much is sent or fetched at once; each connection needs memory for one part.",
           .default_value = "16MiB"},
          retry_option(),
          cli::quiet_option(),
          cli::json_option()};
}

std::vector<cli::ExitStatus> transfer_exit_status() {
  return cli::usual_exit_status(
      {{cli::kExitDamage, "a file differs from the manifest"},
       {cli::kExitUnsupportedVersion, "the dataset is of a version that this build does not read"},
       {cli::kExitInterrupted, "stopped by SIGTERM"},
       {cli::kExitSigint, "stopped by Ctrl-C"}});
}

}  // namespace

cli::Verb push_verb() {
  cli::Verb verb;
  verb.name = "push";
  verb.summary = "Copy a dataset to S3";
  verb.description =
      "Shards go in parallel and in parts, each compared with the manifest's digest on the way; the manifest goes "
      "last, so "
      "that nobody finds half a dataset. The same command again skips what is there already, by size and digest.\n\n"
      "Keys, region and endpoint come from the AWS_* variables, ~/.aws or the machine's role, as for the aws command; "
      "AWS_ENDPOINT_URL names another S3 store.";
  verb.positionals = {
      {.name = "DIR", .help = "The folder of shards."},
      {.name = "URL", .help = "s3://BUCKET/PREFIX; new, or an unfinished or finished push of the same."}};
  verb.options = transfer_options();
  verb.examples = {{"imgpack push imagenet.shards s3://my-bucket/imagenet.shards", "Then train from that URL."}};
  verb.exit_status = transfer_exit_status();
  verb.run = run_push;
  return verb;
}

cli::Verb pull_verb() {
  cli::Verb verb;
  verb.name = "pull";
  verb.summary = "Copy a dataset from S3 or a web server to a folder";
  verb.description =
      "Shards come in parallel, each compared with the manifest's digest, synced and renamed; the manifest comes last. "
      "The "
      "same command again reads what is there and fetches the rest.";
  verb.positionals = {
      {.name = "URL", .help = "s3://BUCKET/PREFIX, https://HOST/PATH or http://HOST/PATH."},
      {.name = "DIR", .help = "The folder to write; new, or an unfinished or finished pull of the same."}};
  verb.options = transfer_options();
  verb.examples = {{"imgpack pull s3://my-bucket/imagenet.shards /mnt/data/imagenet.shards", "Onto a local disk."}};
  verb.exit_status = transfer_exit_status();
  verb.run = run_pull;
  return verb;
}

}  // namespace imgpack
