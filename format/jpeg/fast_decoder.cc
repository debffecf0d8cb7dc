#include "format/jpeg/fast_decoder.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "format/error.h"
#include "format/jpeg/axis_weights.h"
#include "format/jpeg/baseline_header.h"
#include "format/jpeg/decode_window.h"
#include "format/jpeg/entropy_index.h"
#include "format/jpeg/entropy_kernels.h"
#include "format/jpeg/pixel_kernels.h"
#include "format/jpeg/planar_taps.h"
#include "format/jpeg/segment_cutter.h"
#include "format/jpeg/zigzag.h"

namespace imgpack::jpeg {
namespace {

// Of the MCU rows whose coefficients are held at once: enough that interleaving seldom runs dry, and as many more as
// fit beside each other in a core's cache.
constexpr int kMinGroupRows = 8, kMaxGroupRows = 32;
constexpr size_t kGroupCoefficientBytes = 1024 << 10;
constexpr int kGroupSegments = 32;  // A row is entered at several places, where the index has them, up to so many.
constexpr size_t kStrideAlign = 64;

template <class T>
T* at_least(std::vector<T>& v, size_t n) {
  if (v.size() < n) v.resize(n);
  return v.data();
}

// The MCUs under the window, and where in the index their rows are entered.
struct McuRange {
  int column0 = 0, column1 = 0, row0 = 0, row1 = 0;
  int entry = 0;  // Of each row: the one that column0 belongs to.
  int mcus_per_entry = 1;

  // In groups of equal size: a last group of a row or two would be decoded with little to interleave.
  int rows_at_once(size_t mcu_coefficients) const {
    const size_t row_bytes = static_cast<size_t>(column1 - entry * mcus_per_entry) * mcu_coefficients * sizeof(int16_t);
    const int fitting = static_cast<int>(std::min<size_t>(kGroupCoefficientBytes / row_bytes, kMaxGroupRows));
    const int most = std::max(fitting, kMinGroupRows);
    const int rows = row1 - row0, groups = (rows + most - 1) / most;
    return (rows + groups - 1) / groups;
  }
};

// How one component is resized along one axis, in its own samples.
struct Axis {
  PlanarTaps taps;
  int begin = 0, end = 0;  // The samples that the taps reach.

  void find_reach() {
    begin = taps.first_input();
    end = taps.end_input();
  }
};

struct Geometry {
  Axis across, down;
  HorizontalPlan plan;
};

// The lines of one component that are at hand.
struct Plane {
  std::vector<uint8_t> samples;
  size_t stride = 0;
  int first_line = 0;  // Component row of the first line held.
  int lines = 0;
};

}  // namespace

struct FastDecoder::State {
  alignas(64) int16_t quant[kMaxComponents][kBlockCoefficients];
  BaselineHeader header;
  McuRange range;
  AxisWeights weights;
  Geometry geometry[2];  // Luma's; chroma's where it is subsampled.
  Plane plane[kMaxComponents];
  SegmentCutter cutter;
  std::vector<RowRequest> requests;
  std::vector<int16_t> samples;
  std::vector<uint8_t> line;

  bool chroma_is_smaller() const { return header.components == 3 && (header.max_h > 1 || header.max_v > 1); }
  Geometry& geometry_of(int component) { return geometry[component > 0 && chroma_is_smaller() ? 1 : 0]; }

  void lay_out(const SampleWindow& window, int out_width, int out_height, Filter filter, int mcus_per_entry);
  void prepare_planes();
  void decode_coefficients(int row, int rows);
  void make_room(int rows);
  void transform(const Piece& piece, const EntropySegment& segment);
  void drop_lines(int next_output, int out_height);
};

void FastDecoder::State::lay_out(const SampleWindow& w, int out_width, int out_height, Filter filter,
                                 int mcus_per_entry) {
  range = {header.mcus_per_row, 0, header.mcu_rows, 0, 0, mcus_per_entry};
  const size_t sets = chroma_is_smaller() ? 2 : 1;
  ComponentTaps across[2], down[2];
  for (size_t set = 0; set < sets; set++) {
    const int sx = set == 0 ? 1 : header.max_h, sy = set == 0 ? 1 : header.max_v;
    across[set] = {{sx, (static_cast<int>(header.width) + sx - 1) / sx}, &geometry[set].across.taps};
    down[set] = {{sy, (static_cast<int>(header.height) + sy - 1) / sy}, &geometry[set].down.taps};
  }
  weights.make({w.use_x, w.use_width, w.x0, w.x1}, out_width, filter, w.flip, std::span(across).first(sets));
  weights.make({w.use_y, w.use_height, w.y0, w.y1}, out_height, filter, false, std::span(down).first(sets));
  for (size_t set = 0; set < sets; set++) {
    Geometry& g = geometry[set];
    g.across.find_reach();
    g.down.find_reach();
    const FrameComponent& component = header.component[set];
    const int mcu_width = kBlockSide * component.h, mcu_height = kBlockSide * component.v;
    range.column0 = std::min(range.column0, g.across.begin / mcu_width);
    range.column1 = std::max(range.column1, (g.across.end + mcu_width - 1) / mcu_width);
    range.row0 = std::min(range.row0, g.down.begin / mcu_height);
    range.row1 = std::max(range.row1, (g.down.end + mcu_height - 1) / mcu_height);
    for (int& first : g.across.taps.first) first -= g.across.begin;
    make_horizontal_plan(g.across.taps, g.plan);
  }
  range.entry = range.column0 / mcus_per_entry;
}

void FastDecoder::State::prepare_planes() {
  for (int c = 0; c < header.components; c++) {
    const FrameComponent& component = header.component[c];
    const uint16_t* natural = header.quant[component.quant];
    for (int i = 0; i < kBlockCoefficients; i++) quant[c][transposed(i)] = static_cast<int16_t>(natural[i]);
    Plane& p = plane[c];
    const int width = (range.column1 - range.column0) * kBlockSide * component.h;
    p.stride = (static_cast<size_t>(width) + kStrideAlign - 1) / kStrideAlign * kStrideAlign + kStrideAlign;
    p.first_line = range.row0 * kBlockSide * component.v;
    p.lines = 0;
  }
}

void FastDecoder::State::decode_coefficients(int row, int rows) {
  requests.clear();
  const int every = range.mcus_per_entry, entries = (range.column1 + every - 1) / every - range.entry;
  const int parts = std::clamp(kGroupSegments / rows, 1, entries);
  for (int r = row; r < row + rows; r++) {
    for (int part = 0; part < parts; part++) {
      const int first = range.entry + entries * part / parts, end = range.entry + entries * (part + 1) / parts;
      requests.push_back({r, first, std::min(end * every, range.column1)});
    }
  }
  cutter.cut(requests);
  if (!decode_segments(header, cutter.longest_first())) {
    throw Error(ErrorKind::kCorruption, "JPEG stream damaged: expected Huffman codes of whole blocks, found others", {},
                {}, "imgpack verify --level decode names every damaged record");
  }
}

// Room for the lines of `rows` more MCU rows. Lines wait in front of them for the rest of an output row's taps.
void FastDecoder::State::make_room(int rows) {
  for (int c = 0; c < header.components; c++) {
    Plane& p = plane[c];
    const int lines = p.lines + rows * kBlockSide * header.component[c].v;
    at_least(p.samples, p.stride * static_cast<size_t>(lines) + kLineSlack);
  }
}

// Writes the samples of a piece's MCUs, as far as the window needs them, behind the lines that wait.
void FastDecoder::State::transform(const Piece& piece, const EntropySegment& segment) {
  const int before = std::max(0, range.column0 - piece.column);
  const int mcus = segment.mcus - before;
  if (mcus <= 0) return;
  const int16_t* first = segment.coefficients + static_cast<size_t>(before) * header.mcu_coefficients();
  for (int b = 0; b < header.blocks_per_mcu;) {
    const McuBlock& block = header.block[b];
    const FrameComponent& component = header.component[block.component];
    Plane& p = plane[block.component];
    const int top = (piece.row * component.v + block.line) * kBlockSide - p.first_line;
    const int column = (piece.column + before - range.column0) * component.h * kBlockSide;
    const BlockRow blocks{first + b * kBlockCoefficients, mcus * component.h, component.h, header.mcu_coefficients()};
    inverse_dct_row(blocks, quant[block.component], p.samples.data() + p.stride * static_cast<size_t>(top) + column,
                    p.stride);
    b += component.h;
  }
}

// Forgets the lines that no output row from `next_output` on needs.
void FastDecoder::State::drop_lines(int next_output, int out_height) {
  for (int c = 0; c < header.components; c++) {
    Plane& p = plane[c];
    const int end = p.first_line + p.lines;
    const int keep_from =
        next_output < out_height
            ? std::clamp(geometry_of(c).down.taps.first[static_cast<size_t>(next_output)], p.first_line, end)
            : end;
    const int kept = end - keep_from;
    std::memmove(p.samples.data(), p.samples.data() + p.stride * static_cast<size_t>(keep_from - p.first_line),
                 p.stride * static_cast<size_t>(kept));
    p.first_line = keep_from;
    p.lines = kept;
  }
}

FastDecoder::FastDecoder() : state_(std::make_unique<State>()) {}
FastDecoder::~FastDecoder() = default;

FastDecoder::Result FastDecoder::decode(std::span<const std::byte> jpeg, std::span<const std::byte> entropy_index,
                                        const SampleWindow& window, int out_width, int out_height, Filter filter,
                                        uint8_t* rgb) {
  if (entropy_index.empty()) return Result::kNotCovered;
  State& s = *state_;
  const BaselineHeader& header = s.header;
  if (parse_baseline_header(jpeg, s.header) != Coverage::kCovered) return Result::kNotCovered;
  const std::optional<EntropyIndexView> index = EntropyIndexView::parse(entropy_index, header, jpeg.size());
  if (!index) {
    throw Error(ErrorKind::kCorruption, "entropy index does not fit its JPEG: expected format 1 for this header", {},
                {}, "imgpack reindex makes it anew");
  }
  check_window(window, header.width, header.height, out_width, out_height);
  s.cutter.begin(header, *index, reinterpret_cast<const uint8_t*>(jpeg.data()) + header.scan_begin);
  s.lay_out(window, out_width, out_height, filter, index->mcus_per_entry());
  s.prepare_planes();

  RenderJob job;
  job.components = header.components;
  job.negative_weights = filter != Filter::kBilinear;
  job.out_width = out_width;
  job.rgb = rgb;
  job.sample_stride = static_cast<size_t>(rounded_outputs(out_width)) + kLineSlack;
  job.samples = at_least(s.samples, 3 * job.sample_stride);
  size_t widest = 0;
  for (int c = 0; c < header.components; c++) {
    Geometry& g = s.geometry_of(c);
    RenderPlane& p = job.plane[c];
    p.src_stride = s.plane[c].stride;
    p.width = g.across.end - g.across.begin;
    p.down = &g.down.taps;
    p.across = &g.plan;
    widest = std::max(widest, static_cast<size_t>(p.width));
  }
  job.line = at_least(s.line, widest + 2 * kLineSlack);

  int next_output = 0;
  const int rows_at_once = s.range.rows_at_once(header.mcu_coefficients());
  for (int row = s.range.row0; row < s.range.row1; row += rows_at_once) {
    const int rows = std::min(rows_at_once, s.range.row1 - row);
    s.decode_coefficients(row, rows);
    s.make_room(rows);
    for (size_t i = 0; i < s.cutter.pieces().size(); i++) s.transform(s.cutter.pieces()[i], s.cutter.segments()[i]);
    int ready = out_height;
    for (int c = 0; c < header.components; c++) {
      Plane& p = s.plane[c];
      const FrameComponent& component = header.component[c];
      p.lines = (row + rows) * kBlockSide * component.v - p.first_line;
      const Geometry& g = s.geometry_of(c);
      job.plane[c].src = p.samples.data() + (g.across.begin - s.range.column0 * kBlockSide * component.h);
      job.plane[c].first_source_row = p.first_line;
      int output = next_output;
      while (output < ready &&
             g.down.taps.first[static_cast<size_t>(output)] + g.down.taps.count[static_cast<size_t>(output)] <=
                 p.first_line + p.lines)
        output++;
      ready = output;
    }
    render_rows(job, next_output, ready);
    next_output = ready;
    s.drop_lines(next_output, out_height);
  }
  return Result::kDecoded;
}

size_t FastDecoder::scratch_bytes() const {
  const State& s = *state_;
  size_t bytes = sizeof(State) + s.cutter.scratch_bytes() + s.weights.scratch_bytes() + s.line.capacity() +
                 2 * s.samples.capacity();
  for (const Plane& p : s.plane) bytes += p.samples.capacity();
  for (const Geometry& g : s.geometry)
    bytes += 2 * (g.across.taps.weight.capacity() + g.down.taps.weight.capacity() + g.plan.weight.capacity() +
                  g.plan.wide.capacity()) +
             g.plan.shuffle.capacity();
  return bytes;
}

}  // namespace imgpack::jpeg
