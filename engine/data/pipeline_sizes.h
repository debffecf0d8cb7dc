// What a pipeline needs before anything is read: its options checked, and the memory and shards that follow from them.
// Pure functions of options, split and order.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/data/batch_pipeline.h"
#include "engine/data/sample_order.h"
#include "format/dataset.h"

namespace imgtrain::data {

// The options with what evaluation and the machine decide filled in. Throws Error(kUsage) "expected …, found …".
PipelineOptions checked(PipelineOptions options);

uint64_t shard_bytes(const imgpack::SplitView& split);  // Of all shards.

// Memory that a block of the plan takes: block_bytes and a record, up to 1 MiB of it.
uint64_t usual_block_bytes(const imgpack::SplitView& split, const PipelineOptions& options);

// Bytes of blocks in memory: the windows of the partitions that one rank touches, and what is read ahead of them.
uint64_t block_budget(const imgpack::SplitView& split, const SampleOrder& order, const PipelineOptions& options);

// The shards that hold the partitions of this rank, in the order in which they lie; where ranks do not divide them
// evenly, those of the neighbouring partitions too.
std::vector<uint32_t> shards_of_rank(const imgpack::SplitView& split, const SampleOrder& order,
                                     const PipelineOptions& options);

// Samples of the largest local batch, at least 1.
uint32_t largest_share(const SampleOrder& order, const PipelineOptions& options);

}  // namespace imgtrain::data
