// The entries of one archive, one after another, by libarchive: tar (ustar, GNU, pax) and zip, each as it is or packed
// by gzip, bzip2, xz or zstd. What it is is told from its bytes, never from its name.
//
//   ByteStream -> ArchiveReader -> next() -> entry -> read() -> next() -> … -> nullopt
//
// Nothing that an archive says is believed before it is checked: see the limits below.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "format/ingest/byte_stream.h"

namespace imgpack::ingest {

// What unpacks to more than this many times its size, beyond the first so many bytes, is taken for a bomb.
inline constexpr uint64_t kMaxUnpackRatio = 250;
inline constexpr uint64_t kUnpackGrace = 256ull << 20;

enum class EntryType { kFile, kFolder, kLink, kOther };

struct ArchiveEntry {
  std::string name;  // As the archive has it: not checked, not normalised.
  EntryType type = EntryType::kFile;
  std::string link_target;       // Of a link.
  std::optional<uint64_t> size;  // Of a file, where the archive says it beforehand.
};

// `tar`, `tar.gz`, `zip`, …, or empty for bytes that are no archive; of the first kArchiveHeadBytes of a file.
std::string archive_kind(std::span<const std::byte> head);
inline constexpr size_t kArchiveHeadBytes = 512;

// Not thread-safe. Throws Error(kInvalidInput) naming the stream for what is damaged, cut off, encrypted, no archive or
// a bomb, and what the stream throws. Memory: about 1 MiB and what the decompressor needs (zstd windows up to 128 MiB).
class ArchiveReader {
 public:
  explicit ArchiveReader(std::unique_ptr<ByteStream> bytes);
  ~ArchiveReader();
  ArchiveReader(const ArchiveReader&) = delete;
  ArchiveReader& operator=(const ArchiveReader&) = delete;

  const std::string& name() const;
  const std::string& kind() const;  // As archive_kind() says it.

  // Passes over what is left of the entry before. nullopt: the archive's end, and it is whole.
  std::optional<ArchiveEntry> next();
  // Of the entry that next() returned last; 0: its end.
  size_t read(std::span<std::byte> out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace imgpack::ingest
