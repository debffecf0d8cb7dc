#include "tools/imgpack/warm_order.h"

#include <algorithm>
#include <utility>

#include "engine/data/sample_order.h"
#include "format/dataset.h"
#include "format/error.h"
#include "format/remote/remote_file_system.h"

namespace imgpack {
namespace {

std::vector<VerifyBlock> order_of(const SplitView& split, uint64_t seed, uint64_t epoch) {
  imgtrain::data::SampleOrderOptions options;
  options.seed = seed;
  const imgtrain::data::SampleOrder samples(split, options);
  const imgtrain::data::EpochOrder order = samples.epoch(epoch);
  const imgtrain::data::BlockPlan& plan = samples.plan();
  std::vector<std::pair<uint64_t, uint32_t>> first_needed;  // Sample of the epoch, block.
  for (uint32_t p = 0; p < plan.partitions(); ++p) {
    for (uint32_t b = plan.first_block[p]; b < plan.first_block[p + 1]; ++b) {
      const std::vector<uint64_t> places = order.places(b);
      if (!places.empty())
        first_needed.emplace_back(order.occurrence(p, *std::min_element(places.begin(), places.end())), b);
    }
  }
  std::sort(first_needed.begin(), first_needed.end());
  std::vector<VerifyBlock> blocks;
  for (const auto& [sample, b] : first_needed)
    blocks.push_back({split.info.name, plan.blocks[b].first_record, plan.blocks[b].records});
  return blocks;
}

}  // namespace

std::vector<VerifyBlock> training_order(const std::filesystem::path& dataset, uint64_t seed, uint64_t epoch) {
  try {
    const Dataset opened = Dataset::open(remote::any_file_system(), dataset);
    if (opened.has_split("train")) return order_of(opened.split("train"), seed, epoch);
  } catch (const Error&) {
    return {};  // verify says what is wrong with it.
  }
  return {};
}

}  // namespace imgpack
