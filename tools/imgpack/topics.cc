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
           "  SLURM_ARRAY_TASK_*, AWS_BATCH_*     the place of `build --part auto`\n\n"
           "For datasets behind s3:// and https:// (docs/remote-shards.md):\n\n"
           "  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN\n"
           "                                      keys; else those of the profile\n"
           "  AWS_PROFILE, AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE\n"
           "                                      the profile and its files (~/.aws)\n"
           "  AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, AWS_CONTAINER_CREDENTIALS_FULL_URI,\n"
           "  AWS_CONTAINER_AUTHORIZATION_TOKEN, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE\n"
           "                                      where a container's role is asked for\n"
           "  AWS_EC2_METADATA_SERVICE_ENDPOINT   asked for the machine's role instead of\n"
           "                                      169.254.169.254, by doctor too\n"
           "  AWS_EC2_METADATA_DISABLED           true: not asked\n"
           "  AWS_REGION, AWS_DEFAULT_REGION      the bucket's region; else found out\n"
           "  AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL\n"
           "                                      another S3 store\n"
           "  AWS_CA_BUNDLE                       certificates to trust for S3\n"
           "  CURL_CA_BUNDLE, SSL_CERT_FILE       the same for every server\n"
           "  http_proxy, https_proxy, all_proxy, no_proxy\n"
           "                                      proxies, and hosts that need none\n"}};
}

}  // namespace imgpack
