// schemas/shard_layout.json says the same as layout.h, in both directions, and structures have no holes or overlaps.
#include "format/layout.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <sstream>

#include "format/inspect.h"
#include "format/record.h"

namespace imgpack {
namespace {

namespace json = boost::json;

json::object layout_document() {
  std::ifstream file(std::string(TEST_SOURCE_DIR) + "/../schemas/shard_layout.json");
  std::stringstream text;
  text << file.rdbuf();
  return json::parse(text.str()).as_object();
}

struct Structure {
  const char* name;
  std::span<const layout::Field> fields;
  uint32_t bytes;
};

const Structure kStructures[] = {
    {"frozen_prefix", layout::frozen_prefix::kFields, layout::frozen_prefix::kBytes},
    {"shard_header", layout::shard_header::kFields, layout::shard_header::kBytes},
    {"record_header", layout::record_header::kFields, layout::record_header::kFixedBytes},
    {"section_entry", layout::section_entry::kFields, layout::section_entry::kBytes},
    {"index_header", layout::index_header::kFields, layout::index_header::kFixedBytes},
    {"frame_entry", layout::frame_entry::kFields, layout::frame_entry::kBytes},
    {"names_header", layout::names_header::kFields, layout::names_header::kBytes},
    {"shard_footer", layout::shard_footer::kFields, layout::shard_footer::kBytes},
    {"dataset_header", layout::dataset_header::kFields, layout::dataset_header::kFixedBytes},
    {"split_entry", layout::split_entry::kFields, layout::split_entry::kBytes},
};

TEST(Layout, FieldsFillTheirStructureInOrder) {
  for (const Structure& structure : kStructures) {
    uint32_t at = 0;
    for (const layout::Field& field : structure.fields) {
      EXPECT_EQ(field.offset, at) << structure.name << "." << field.name;
      at += field.bytes;
    }
    EXPECT_EQ(at, structure.bytes) << structure.name;
  }
}

TEST(Layout, JsonDocumentHasTheSameStructures) {
  const json::object document = layout_document();
  const json::object& structures = document.at("structures").as_object();
  EXPECT_EQ(structures.size(), std::size(kStructures));
  for (const Structure& structure : kStructures) {
    const json::object& entry = structures.at(structure.name).as_object();
    EXPECT_EQ(entry.at("bytes").to_number<uint32_t>(), structure.bytes) << structure.name;
    const json::object& fields = entry.at("fields").as_object();
    EXPECT_EQ(fields.size(), structure.fields.size()) << structure.name;
    for (const layout::Field& field : structure.fields) {
      const json::object& found = fields.at(field.name).as_object();
      EXPECT_EQ(found.at("offset").to_number<uint32_t>(), field.offset) << structure.name << "." << field.name;
      EXPECT_EQ(found.at("bytes").to_number<uint32_t>(), field.bytes) << structure.name << "." << field.name;
    }
  }
}

TEST(Layout, JsonDocumentHasTheSameMagics) {
  const json::object document = layout_document();
  const json::object& magics = document.at("magics").as_object();
  const std::pair<const char*, std::pair<uint64_t, int>> expected[] = {{"shard", {layout::kShardMagic, 8}},
                                                                       {"dataset_index", {layout::kDatasetMagic, 8}},
                                                                       {"footer", {layout::kFooterMagic, 8}},
                                                                       {"record", {layout::kRecordMagic, 4}},
                                                                       {"index", {layout::kIndexMagic, 4}}};
  EXPECT_EQ(magics.size(), std::size(expected));
  for (const auto& [name, magic] : expected) {
    std::istringstream bytes(std::string(magics.at(name).as_string()));
    std::string byte;
    for (int i = 0; i < magic.second; ++i) {
      ASSERT_TRUE(bytes >> byte);
      EXPECT_EQ(std::stoul(byte, nullptr, 16), magic.first >> (8 * i) & 0xff) << name;
    }
    EXPECT_FALSE(bytes >> byte);
  }
}

TEST(Layout, JsonDocumentHasTheSameLimits) {
  const json::object document = layout_document();
  const json::object& limits = document.at("limits").as_object();
  const std::pair<const char*, uint64_t> expected[] = {{"file_header_bytes", layout::kMaxFileHeaderBytes},
                                                       {"record_bytes", layout::kMaxRecordBytes},
                                                       {"record_header_bytes", layout::kMaxRecordHeaderBytes},
                                                       {"sections", layout::kMaxSections},
                                                       {"name_bytes", layout::kMaxNameBytes},
                                                       {"split_name_bytes", layout::kMaxSplitNameBytes},
                                                       {"splits", layout::kMaxSplits},
                                                       {"shards", layout::kMaxShards},
                                                       {"frames", layout::kMaxFrames},
                                                       {"index_bytes", layout::kMaxIndexBytes},
                                                       {"expanded_name_bytes", layout::kMaxExpandedNameBytes},
                                                       {"name_number_digits", layout::kMaxNameNumberDigits},
                                                       {"manifest_bytes", layout::kMaxManifestBytes},
                                                       {"label_set_bytes", layout::kMaxLabelSetBytes},
                                                       {"min_record_bytes", layout::kMinRecordBytes}};
  EXPECT_EQ(limits.size(), std::size(expected));
  for (const auto& [name, limit] : expected) EXPECT_EQ(limits.at(name).to_number<uint64_t>(), limit) << name;
}

TEST(Layout, JsonDocumentHasTheSameEnumerations) {
  const json::object document = layout_document();
  EXPECT_EQ(document.at("version").at("major").to_number<int>(), layout::kMajor);
  EXPECT_EQ(document.at("version").at("minor").to_number<int>(), layout::kMinor);
  EXPECT_EQ(document.at("section_types").at("image").to_number<uint32_t>(), static_cast<uint32_t>(SectionType::kImage));
  EXPECT_EQ(document.at("section_types").at("entropy_index").to_number<uint32_t>(),
            static_cast<uint32_t>(SectionType::kEntropyIndex));
  EXPECT_EQ(document.at("frame_groups").at("ids").to_number<int>(), layout::kGroupIds);
  EXPECT_EQ(document.at("frame_groups").at("plan").to_number<int>(), layout::kGroupPlan);
  EXPECT_EQ(document.at("frame_groups").at("names").to_number<int>(), layout::kGroupNames);
  EXPECT_EQ(document.at("frame_codecs").at("raw").to_number<int>(), layout::kCodecRaw);
  EXPECT_EQ(document.at("frame_codecs").at("zstd").to_number<int>(), layout::kCodecZstd);
  EXPECT_EQ(document.at("plan_columns").as_array().size(), layout::kPlanColumns);
  EXPECT_EQ(document.at("names_literal_digits").to_number<uint32_t>(), layout::names_header::kLiteral);
  const json::object& flags = document.at("record_flags").as_object();
  for (unsigned bit = 0; record_flag_name(bit) != nullptr; ++bit)
    EXPECT_EQ(flags.at(record_flag_name(bit)).to_number<unsigned>(), bit);
}

}  // namespace
}  // namespace imgpack
