#include "format/ingest/image_preparation.h"

#include <utility>
#include <variant>

#include "format/checksum.h"
#include "format/ingest/decode_cost.h"
#include "format/ingest/image_name.h"
#include "format/ingest/image_normaliser.h"
#include "format/record.h"

namespace imgpack::ingest {
namespace {

constexpr uint64_t kMiB = 1ull << 20;

Record to_record(const std::string& split, const SourceImage& image, NormalisedImage normalised) {
  Record record;
  record.meta.name = image.name();
  record.meta.id = sample_id(split, record.meta.name);
  record.meta.width = normalised.width;
  record.meta.height = normalised.height;
  record.meta.flags = normalised.flags;
  record.sections.push_back({SectionType::kImage, true, std::move(normalised.jpeg)});
  if (!normalised.entropy_index.empty())
    record.sections.push_back({SectionType::kEntropyIndex, false, std::move(normalised.entropy_index)});
  return record;
}

}  // namespace

std::optional<SkippedSource> refuse_name(const std::string& split, const SourceImage& image) {
  if (is_canonical_name(image.name())) return std::nullopt;
  return SkippedSource{split, printable(image.name()), std::string("bad-name: expected ") + kCanonicalNameRule, ""};
}

PreparedImage prepare_image(const std::string& split, const SourceImage& image, std::vector<std::byte> bytes,
                            const PackOptions& options, MemoryBudget& decoding) {
  const NormaliseOptions how = options_for(options, sample_id(split, image.name()));
  const auto lease = decoding.acquire(decode_cost_bytes(bytes, how));
  auto normalised = normalise_image(std::move(bytes), how);
  if (const auto* quarantine = std::get_if<Quarantine>(&normalised)) {
    return SkippedSource{split, printable(image.name()),
                         std::string(reason_name(quarantine->reason)) +
                             (quarantine->detail.empty() ? "" : ": " + printable(quarantine->detail)),
                         // After a Quarantine the bytes are still ours.
                         to_hex(checksum(bytes))};  // NOLINT(bugprone-use-after-move)
  }
  return to_record(split, image, std::get<NormalisedImage>(std::move(normalised)));
}

uint64_t in_flight_budget_bytes(uint32_t threads) {
  return 64 * kMiB * (1 + uint64_t{threads});
}

uint64_t decoding_budget_bytes(uint32_t threads) {
  return 256 * kMiB + 64 * kMiB * threads;
}

}  // namespace imgpack::ingest
