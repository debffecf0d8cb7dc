#include <charconv>
#include <iostream>

#include "format/remote/remote_file_system.h"
#include "format/verify.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
#include "tools/cli/progress.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/cli/units.h"
#include "tools/imgpack/image_check.h"
#include "tools/imgpack/remote_options.h"
#include "tools/imgpack/verbs.h"
#include "tools/imgpack/warm_order.h"

namespace imgpack {
namespace {

constexpr size_t kDamagesPrinted = 100;

// `3/16`: every sixteenth shard, beginning with the third.
void read_subset(const std::string& text, VerifyOptions& options) {
  const size_t slash = text.find('/');
  const auto read = [](std::string_view digits, uint32_t& value) {
    const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return failure == std::errc() && end == digits.data() + digits.size();
  };
  const bool good = slash != std::string::npos && read(std::string_view(text).substr(0, slash), options.part) &&
                    read(std::string_view(text).substr(slash + 1), options.parts) && options.part >= 1 &&
                    options.part <= options.parts;
  if (!good) throw Error(ErrorKind::kUsage, "--subset: expected N/T with N from 1 to T, found '" + text + "'");
}

VerifyOptions read_options(const cli::Arguments& arguments) {
  VerifyOptions options;
  options.level =
      *parse_verify_level(arguments.has("warm") && !arguments.has("level") ? "checksums" : arguments.text("level"));
  options.image_check = check_image;
  options.threads = static_cast<uint32_t>(arguments.number("threads", 0, 1024));
  if (arguments.has("subset")) read_subset(arguments.text("subset"), options);
  if (arguments.has("rate")) options.bytes_per_second = arguments.number("rate", 1, 1u << 20) << 20;
  return options;
}

void print_text(const std::filesystem::path& dataset, const VerifyReport& report) {
  for (size_t i = 0; i < std::min(report.damages.size(), kDamagesPrinted); ++i)
    std::cout << to_text(report.damages[i]) << "\n";
  if (report.damage_count() > kDamagesPrinted) {
    std::cout << "... and " << cli::format_count(report.damage_count() - kDamagesPrinted)
              << " more (--json lists them)\n";
  }
  for (const std::string& note : report.notes) cli::console().say("note: " + note);
  std::cout << dataset.string() << ": ";
  if (report.ok()) {
    std::cout << "no damage";
  } else {
    std::cout << cli::format_count(report.damage_count()) << (report.damage_count() == 1 ? " damage" : " damages");
  }
  std::cout << " at level " << to_string(report.level) << ": " << cli::format_count(report.shards)
            << (report.shards == 1 ? " shard, " : " shards, ") << cli::format_count(report.records) << " records";
  if (report.level == VerifyLevel::kDecode) std::cout << ", " << cli::format_count(report.images) << " images decoded";
  std::cout << ", " << cli::format_bytes(report.bytes) << " in " << cli::format_seconds(report.seconds) << "\n";
  if (!report.ok() && !report.only_unsupported())
    cli::console().say(
        remote::is_remote(dataset)
            ? "Hint: imgpack pull URL DIR or the folder that was pushed, repaired, then pushed to another prefix"
            : "Hint: imgpack repair " + dataset.string() + " --dry-run says what can be repaired");
}

int run_verify(const cli::Arguments& arguments) {
  const std::filesystem::path dataset = arguments.positional("DIR");
  use_patience(arguments);
  VerifyOptions options = read_options(arguments);
  cli::ProgressOptions progress_options;
  progress_options.title = "verify";
  progress_options.unit = "records";
  progress_options.quiet = arguments.has("quiet");
  cli::Progress progress(cli::console(), progress_options);
  VerifyProgress before;
  options.progress = [&](const VerifyProgress& now) {
    cli::throw_if_stopped("nothing was changed");
    const uint64_t share = now.total_bytes > 0 ? now.bytes * 100 / now.total_bytes : 100;
    progress.set_note(std::to_string(share) + " % of " + cli::format_bytes(now.total_bytes) +
                      (now.damages > 0 ? ", " + cli::format_count(now.damages) + " damages" : ""));
    progress.advance(now.records - before.records, now.bytes - before.bytes);
    before = now;
  };
  if (arguments.has("warm"))
    options.blocks = training_order(dataset, arguments.number("seed"), arguments.number("epoch"));
  const VerifyReport report = verify_dataset(remote::any_file_system(), dataset, options);
  progress.finish();
  if (arguments.has("json")) {
    std::cout << to_json(report);
  } else {
    print_text(dataset, report);
  }
  if (report.ok()) return cli::kExitOk;
  return report.only_unsupported() ? cli::kExitUnsupportedVersion : cli::kExitDamage;
}

}  // namespace

cli::Verb verify_verb() {
  cli::Verb verb;
  verb.name = "verify";
  verb.summary = "Read a dataset back and report every damage";
  verb.description =
      "Level structure checks manifest, indexes and headers; checksums reads every byte of every record as well; "
      "decode decodes every "
      "image too. Nothing is changed.";
  verb.positionals = {{.name = "DIR", .help = "The folder of shards, or the s3:// or https:// URL of one."}};
  verb.options = {
      {.name = "level",
       .value = "LEVEL",
       .help = "How deep to look.",
       .default_value = "decode",
       .choices = {"structure", "checksums", "decode"}},
      {.name = "subset",
       .value = "N/T",
       .help = "Only every T-th shard, beginning with the N-th: a large dataset can be checked in T runs."},
      {.name = "warm",
       .value = "",
       .help = "Read every record once, in the order in which training will, to warm a fresh volume or the page cache: "
               "level checksums unless --level says more."},
      {.name = "seed", .value = "N", .help = "Of the training run to come, for --warm.", .default_value = "0"},
      {.name = "epoch", .value = "N", .help = "Of that run, counted from 0.", .default_value = "0"},
      {.name = "rate", .value = "MIB", .help = "Read at most so many MiB per second."},
      retry_option(),
      cli::threads_option(),
      cli::quiet_option(),
      cli::json_option(),
  };
  verb.examples = {
      {"imgpack verify imagenet.shards", "Everything, images decoded."},
      {"imgpack verify imagenet.shards --level checksums --subset 3/16",
       "A sixteenth of the shards, without decoding."},
      {"imgpack verify s3://my-bucket/imagenet.shards --level checksums", "What lies on S3, every byte."},
      {"imgpack verify imagenet.shards --warm --rate 250", "Touch every block of a volume made from a snapshot."}};
  verb.exit_status = cli::usual_exit_status(
      {{cli::kExitOk, "no damage"},
       {cli::kExitDamage, "damage was found and is listed"},
       {cli::kExitUnsupportedVersion, "no damage, but a newer version is needed to read everything"},
       {cli::kExitInterrupted, "stopped by SIGTERM"},
       {cli::kExitSigint, "stopped by Ctrl-C"}});
  verb.run = run_verify;
  return verb;
}

}  // namespace imgpack
