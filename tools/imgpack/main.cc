// imgpack: a raw ImageNet download into sharded record files, and everything that is done with these files.
#include <sys/resource.h>

#include <algorithm>

#include "format/jpeg/simd_target.h"
#include "tools/cli/build_details.h"
#include "tools/cli/program.h"
#include "tools/cli/stop_signals.h"
#include "tools/imgpack/topics.h"
#include "tools/imgpack/verbs.h"

namespace {

std::vector<std::string> build_details() {
  std::vector<std::string> lines = imgpack::cli::build_details();
  lines.insert(lines.begin(), "shard format 1.0");
  lines.push_back("decoders run on " + imgpack::jpeg::chosen_simd_target() + " here");
  return lines;
}

// An archive is read into several hundred files at once; many systems allow 1,024 until asked for more.
void allow_many_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, std::max<rlim_t>(limit.rlim_cur, 8192));
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  allow_many_open_files();
  imgpack::cli::catch_stop_signals();
  imgpack::cli::Program program;
  program.name = "imgpack";
  program.version = IMGPACK_VERSION;
  program.summary = "turns a raw ImageNet download into sharded record files";
  program.description =
      "Shards are large files that training reads from front to back: JPEGs as they are, checksums on everything, a "
      "compressed index, one fixed shuffled order. Build once, verify, then train with imgtrain.";
  program.verbs = {imgpack::build_verb(),   imgpack::plan_verb(),       imgpack::merge_verb(),   imgpack::verify_verb(),
                   imgpack::repair_verb(),  imgpack::inspect_verb(),    imgpack::ls_verb(),      imgpack::cat_verb(),
                   imgpack::extract_verb(), imgpack::diff_verb(),       imgpack::split_verb(),   imgpack::export_verb(),
                   imgpack::relabel_verb(), imgpack::add_labels_verb(), imgpack::reindex_verb(), imgpack::push_verb(),
                   imgpack::pull_verb(),    imgpack::sample_verb(),     imgpack::doctor_verb()};
  program.build_details = build_details();
  program.topics = imgpack::topics();
  return imgpack::cli::run_program(program, argc, argv);
}
