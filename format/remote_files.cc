#include "format/remote_files.h"

#include "format/file.h"

namespace imgpack {

std::optional<RemoteReading> how_to_read(const FileSystem& fs, const std::filesystem::path& path) {
  const auto* remote = dynamic_cast<const RemoteFiles*>(&fs);
  return remote == nullptr ? std::nullopt : remote->reading(path);
}

void interrupt(const RandomAccessFile& file) {
  if (const auto* interruptible = dynamic_cast<const InterruptibleFile*>(&file)) interruptible->interrupt();
}

}  // namespace imgpack
