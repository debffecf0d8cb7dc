#include "format/jpeg/index_check.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "format/error.h"
#include "format/jpeg/entropy_index.h"
#include "format/jpeg/libjpeg_session.h"
#include "format/jpeg/segment_cutter.h"
#include "format/jpeg/zigzag.h"

namespace imgpack::jpeg {
namespace {

// A position inside the image, for the message.
struct Place {
  int component = 0, block_row = 0, block_column = 0;
};

std::string at(const Place& p) {
  return "component " + std::to_string(p.component) + ", block " + std::to_string(p.block_column) + "," +
         std::to_string(p.block_row);
}

class Comparison {
 public:
  Comparison(const BaselineHeader& header, jpeg_decompress_struct& info, jvirt_barray_ptr* arrays)
      : header_(header), info_(info), arrays_(arrays) {}

  // The coefficients of one MCU in coding order. False: `place` differs. Calls libjpeg.
  bool same(int mcu_row, int mcu_column, const int16_t* zigzag, Place& place) {
    int first_of_component = 0;
    for (int b = 0; b < header_.blocks_per_mcu; b++, zigzag += kBlockCoefficients) {
      const McuBlock& block = header_.block[b];
      const FrameComponent& component = header_.component[block.component];
      if (b > 0 && block.component != header_.block[b - 1].component) first_of_component = b;
      const int within = (b - first_of_component) % component.h;
      place = {block.component, mcu_row * component.v + block.line, mcu_column * component.h + within};
      const jpeg_component_info& theirs = info_.comp_info[block.component];
      // Blocks that only fill up the last MCUs are not kept by libjpeg.
      if (static_cast<JDIMENSION>(place.block_row) >= theirs.height_in_blocks ||
          static_cast<JDIMENSION>(place.block_column) >= theirs.width_in_blocks)
        continue;
      JBLOCKARRAY rows = info_.mem->access_virt_barray(reinterpret_cast<j_common_ptr>(&info_), arrays_[block.component],
                                                       static_cast<JDIMENSION>(place.block_row), 1, FALSE);
      const JCOEF* natural = rows[0][place.block_column];
      for (int z = 0; z < kBlockCoefficients; z++) {
        if (zigzag[z] != natural[kNaturalOrder[z]]) return false;
      }
    }
    return true;
  }

 private:
  const BaselineHeader& header_;
  jpeg_decompress_struct& info_;
  jvirt_barray_ptr* arrays_;
};

}  // namespace

std::string check_entropy_index(std::span<const std::byte> jpeg, std::span<const std::byte> entropy_index) {
  const auto header = std::make_unique<BaselineHeader>();
  if (parse_baseline_header(jpeg, *header) != Coverage::kCovered) return "the fast decoder does not cover this stream";
  const auto index = EntropyIndexView::parse(entropy_index, *header, jpeg.size());
  if (!index) return "the entropy index does not fit the JPEG's header";

  Decompressor decompressor;
  jvirt_barray_ptr* arrays = nullptr;
  if (!decompressor.open(jpeg) || !decompressor.run([&] { arrays = jpeg_read_coefficients(&decompressor.info()); }))
    return decompressor.message();
  Comparison comparison(*header, decompressor.info(), arrays);

  SegmentCutter cutter;
  cutter.begin(*header, *index, reinterpret_cast<const uint8_t*>(jpeg.data()) + header->scan_begin);
  std::vector<RowRequest> requests;
  for (int row = 0; row < header->mcu_rows; row++) {
    requests.clear();
    for (int e = 0; e < index->entries_per_row(); e++) {
      requests.push_back({row, e, std::min((e + 1) * index->mcus_per_entry(), header->mcus_per_row)});
    }
    try {
      cutter.cut(requests);
    } catch (const Error& error) {
      return error.message();
    }
    if (!decode_segments(*header, cutter.longest_first()))
      return "MCU row " + std::to_string(row) + " does not decode from its entries";
    Place place;
    bool same = true;
    const bool read = decompressor.run([&] {
      for (size_t i = 0; i < cutter.pieces().size() && same; i++) {
        const EntropySegment& segment = cutter.segments()[i];
        for (int m = 0; m < segment.mcus && same; m++) {
          const int16_t* zigzag = segment.coefficients + static_cast<size_t>(m) * header->mcu_coefficients();
          same = comparison.same(row, cutter.pieces()[i].column + m, zigzag, place);
        }
      }
    });
    if (!read) return decompressor.message();
    if (!same) return "coefficients differ from libjpeg's in " + at(place);
  }
  return {};
}

}  // namespace imgpack::jpeg
