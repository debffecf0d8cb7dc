// Any bytes as an archive: found, walked through, recognised, its labels read. An error or a source; never a name that
// leads out, never more memory than the bytes unpack to.
#include <cstdlib>
#include <string>

#include "format/error.h"
#include "format/ingest/archive_source.h"
#include "format/ingest/archive_tree.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/labeling.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/memory_file_system.h"

namespace {

using namespace imgpack::ingest;

void read(imgpack::FileSystem& fs) {
  const auto set = find_archives(fs, "/a/x.tar");
  if (!set) return;
  ArchiveWalk walk(fs, *set);
  for (bool odd = false; const auto index = walk.next(); odd = !odd) {
    // Read and passed over in turns; the size is told in the end either way.
    if (odd) {
      walk.skip();
    } else if (walk.read().size() != walk.contents().images[*index].bytes) {
      std::abort();
    }
  }
  const ArchiveContents contents = walk.take_contents();
  for (const ArchivedImage& image : contents.images) {
    const auto plain = plain_path(image.path);
    if (!plain || *plain != image.path) std::abort();
  }
  ArchiveTree tree(fs, set->root, contents);
  label_source(tree, scan_folder(tree, class_folder_root(tree, tree.root())));
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  imgpack::test::MemoryFileSystem fs;
  fs.set_bytes("/a/x.tar", std::string(reinterpret_cast<const char*>(data), size));
  try {
    read(fs);
  } catch (const imgpack::Error& error) {
    if (error.kind() == imgpack::ErrorKind::kInternal) std::abort();
  }
  return 0;
}
