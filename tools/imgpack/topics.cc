#include "tools/imgpack/topics.h"

namespace imgpack {

std::vector<imgpack::cli::Topic> topics() {
  return {{"quick-start", "from a download to a verified dataset",
           "  imgpack doctor /mnt/data                 # is this machine fit for it?\n"
           "  imgpack plan   /mnt/data/imagenet        # what will be done; writes nothing\n"
           "  imgpack build  /mnt/data/imagenet        # -> /mnt/data/imagenet.shards\n"
           "  imgpack verify /mnt/data/imagenet.shards # every byte, every image\n\n"
           "The source may be a folder, an archive that is never unpacked, or a list of images. Validation labels are "
           "found and compared by themselves. The same command again goes on where an interrupted one stopped.\n\n"
           "Without a download, `imgpack sample DIR` makes a small set to try everything with."},
          {"files", "what lies in a folder of shards",
           "  manifest.json      what the dataset is; written last: without it there is none\n"
           "  SPLIT-NNNNN.ipk    the shards: records one after another, then their index\n"
           "  index.ipx          the index of the whole dataset\n"
           "  labels-NAME.json   further sets of labels, such as ReaL\n"
           "  build.json, *.tmp  of an unfinished build: the same command again goes on\n\n"
           "Every file appears under its name whole or not at all. docs/shard-format.md has the format byte for byte."},
          {"environment", "variables that are looked at",
           "  NO_COLOR                            set to anything: no colour\n"
           "  SLURM_ARRAY_TASK_*, AWS_BATCH_*     the place of `build --part auto`\n"
           "  AWS_EC2_METADATA_SERVICE_ENDPOINT   asked by doctor instead of 169.254.169.254\n"
           "  AWS_EC2_METADATA_DISABLED           true: not asked\n"}};
}

}  // namespace imgpack
