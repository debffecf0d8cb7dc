// One image of a source, from its bytes to what a shard stores: the step that folders and archives share.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "format/ingest/memory_budget.h"
#include "format/ingest/pack_plan.h"
#include "format/ingest/source.h"

namespace imgpack::ingest {

// An image whose name no record may have is skipped before it is read. nullopt: the name is fine.
std::optional<SkippedSource> refuse_name(const std::string& split, const SourceImage& image);

// Normalises `bytes`, admitted by `decoding` while pixels are held. A pure function of the rest; thread-safe.
PreparedImage prepare_image(const std::string& split, const SourceImage& image, std::vector<std::byte> bytes,
                            const PackOptions& options, MemoryBudget& decoding);

// The budgets of a pipeline of so many threads: of source bytes on their way, and of pixels.
uint64_t in_flight_budget_bytes(uint32_t threads);
uint64_t decoding_budget_bytes(uint32_t threads);

}  // namespace imgpack::ingest
