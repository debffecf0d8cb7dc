// Opens a dataset and goes through one epoch of training batches: decoded, cropped, shuffled, on every core.
#include <cstdio>
#include <exception>

#include "engine/data/batch_pipeline.h"
#include "format/dataset.h"

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::fprintf(stderr, "usage: read_batches DIR\n");
    return 2;
  }
  imgpack::FileSystem& fs = imgpack::posix_file_system();
  const imgpack::Dataset dataset = imgpack::Dataset::open(fs, argv[1]);
  imgtrain::data::PipelineOptions options;
  options.size = 32;
  options.order.batch = 8;
  imgtrain::data::BatchPipeline pipeline(fs, dataset, options);
  pipeline.start_epoch(0);
  unsigned long long images = 0, label_sum = 0;
  while (auto batch = pipeline.next()) {
    for (uint32_t i = 0; i < batch->count; ++i) label_sum += static_cast<unsigned long long>(batch->labels[i]);
    images += batch->count;
  }
  std::printf("%zu classes, %llu images, sum of labels %llu\n", dataset.manifest().classes.size(), images, label_sum);
} catch (const std::exception& error) {
  std::fprintf(stderr, "read_batches: %s\n", error.what());
  return 1;
}
