// Prints the batches that imgtrain trains on, for tools/python/tests/test_same_as_imgtrain.py.
//
//   parity_batch_dump SHARDS CONFIG.json train|SPLIT RANK WORLD EPOCH FIRST_BATCH
//
// For every batch a line `INDEX FIRST COUNT GLOBAL_COUNT SIZE ORDER_DIGEST`, then COUNT each of: id (8 bytes), label
// (8), boxes to blank (32), image (SIZE x SIZE x 3).
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "engine/data/batch_pipeline.h"
#include "engine/train/run/input_options.h"
#include "engine/train/run/run_config.h"
#include "format/dataset.h"
#include "format/error.h"

namespace {

void print(const void* bytes, size_t count) {
  std::fwrite(bytes, 1, count, stdout);
}

void dump(char** argument) {
  using namespace imgtrain;
  imgpack::FileSystem& fs = imgpack::posix_file_system();
  const imgpack::Dataset dataset = imgpack::Dataset::open(fs, argument[1]);
  const ConfigLayer layer = parse_config_file(argument[2], imgpack::read_text(fs, argument[2], 1 << 20));
  const RunConfig config = resolve({&layer, 1}, "").values;
  const std::string kind = argument[3];
  const Share share{std::atoi(argument[4]), std::atoi(argument[5]), -1};
  data::BatchPipeline pipeline(fs, dataset,
                               kind == "train" ? training_input(config, share) : evaluation_input(config, kind, share));
  pipeline.start_epoch(std::strtoull(argument[6], nullptr, 10), std::strtoull(argument[7], nullptr, 10));
  while (const std::optional<data::Batch> batch = pipeline.next()) {
    std::printf("%" PRIu64 " %u %u %u %u %" PRIu64 "\n", batch->index, batch->first, batch->count, batch->global_count,
                batch->size, pipeline.order_digest());
    print(batch->ids, batch->count * sizeof(uint64_t));
    print(batch->labels, batch->count * sizeof(int64_t));
    print(batch->blanks, batch->count * sizeof(data::BlankBoxes));
    print(batch->images, size_t{batch->count} * batch->size * batch->size * 3);
  }
}

}  // namespace

int main(int arguments, char** argument) {
  if (arguments != 8) return 2;
  try {
    dump(argument);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
