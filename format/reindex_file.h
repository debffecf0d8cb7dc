// The file that stands in for the manifest while `imgpack reindex` replaces shards (format/ingest/reindex.h).
#pragma once

namespace imgpack {

inline constexpr const char* kReindexStateFile = "reindex.json";

}  // namespace imgpack
