// The pixel kernels for SIMD targets with 128- to 512-bit vectors; included by pixel_kernels.cc once per target.

HWY_BEFORE_NAMESPACE();
namespace imgpack::jpeg {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D8 = hn::ScalableTag<uint8_t>;
using D16 = hn::ScalableTag<int16_t>;
using DU16 = hn::ScalableTag<uint16_t>;
using D32 = hn::ScalableTag<int32_t>;
using DHalf8 = hn::Rebind<uint8_t, D16>;   // As many bytes as there are 16-bit lanes.
using DHalf16 = hn::Rebind<int16_t, D32>;  // As many 16-bit values as there are 32-bit lanes.
using V8 = hn::Vec<D8>;
using V16 = hn::Vec<D16>;
using VU16 = hn::Vec<DU16>;
using V32 = hn::Vec<D32>;

inline constexpr int kVectorBytes = static_cast<int>(hn::MaxLanes(D8()));
inline constexpr int kLanes16 = kVectorBytes / 2;
inline constexpr int kBlocksAtOnce = kVectorBytes / 16;  // A row of eight coefficients fills a 128-bit block.

// a[2i] * b[2i] + a[2i+1] * b[2i+1]. Sums begin at zero: which lanes a target adds up in the end is its own affair, so
// that anything else in them could be counted twice, or not at all.
HWY_INLINE V32 multiply_pairs(V16 a, V16 b) {
  const D32 d;
  V32 odd = hn::Zero(d);
  const V32 even = hn::ReorderWidenMulAccumulate(d, a, b, hn::Zero(d), odd);
  return hn::RearrangeToOddPlusEven(even, odd);
}

HWY_INLINE V16 repeat(DctPair pair) {
  const uint32_t both = static_cast<uint16_t>(pair.first) | static_cast<uint32_t>(static_cast<uint16_t>(pair.second))
                                                                << 16;
  return hn::BitCast(D16(), hn::Set(D32(), static_cast<int32_t>(both)));
}

HWY_INLINE V32 mix(V16 pairs, DctPair factors) {
  return multiply_pairs(pairs, repeat(factors));
}
HWY_INLINE V32 mix(V16 pairs, DctPair factors, V32 plus) {
  return hn::Add(mix(pairs, factors), plus);
}

// ---- inverse DCT: scalar::transform_eight on eight columns of each block -------------------------------------------

// The lower or upper four columns of each block, interleaved as pairs.
template <bool kUpper>
HWY_INLINE V16 zip(V16 a, V16 b) {
  if constexpr (kUpper) {
    return hn::InterleaveUpper(D16(), a, b);
  } else {
    return hn::InterleaveLower(D16(), a, b);
  }
}

template <bool kUpper, int kShift>
HWY_INLINE void transform_half(const V16* HWY_RESTRICT x, V16 sum73, V16 sum51, V32 bias, V32* HWY_RESTRICT out) {
  const V16 x26 = zip<kUpper>(x[2], x[6]), x04 = zip<kUpper>(x[0], x[4]), x71 = zip<kUpper>(x[7], x[1]),
            x53 = zip<kUpper>(x[5], x[3]), sides = zip<kUpper>(sum73, sum51);
  const V32 low = mix(x26, kLow26), high = mix(x26, kHigh26);
  const V32 sum = mix(x04, kSum04, bias), difference = mix(x04, kDifference04, bias);
  const V32 side3 = mix(sides, kSides3), side4 = mix(sides, kSides4);
  const V32 even[4] = {hn::Add(sum, high), hn::Add(difference, low), hn::Sub(difference, low), hn::Sub(sum, high)};
  const V32 odd[4] = {mix(x71, kLast71, side4), mix(x53, kLast53, side3), mix(x53, kFirst53, side4),
                      mix(x71, kFirst71, side3)};
  HWY_UNROLL(4)
  for (int i = 0; i < 4; i++) {
    out[i] = hn::ShiftRight<kShift>(hn::Add(even[i], odd[i]));
    out[7 - i] = hn::ShiftRight<kShift>(hn::Sub(even[i], odd[i]));
  }
}

template <int kShift>
HWY_INLINE void transform_columns(V16* x, int32_t offset) {
  const V32 bias = hn::Set(D32(), (1 << (kShift - 1)) + offset * (1 << kShift));
  const V16 sum73 = hn::Add(x[7], x[3]), sum51 = hn::Add(x[5], x[1]);
  V32 lower[8], upper[8];
  transform_half<false, kShift>(x, sum73, sum51, bias, lower);
  transform_half<true, kShift>(x, sum73, sum51, bias, upper);
  HWY_UNROLL(8)
  for (int i = 0; i < 8; i++) x[i] = hn::ReorderDemote2To(D16(), lower[i], upper[i]);
}

// Mirrors each 8x8 block at its diagonal.
HWY_INLINE void transpose_blocks(V16* x) {
  const D16 d16;
  const D32 d32;
  const hn::ScalableTag<int64_t> d64;
  V16 pairs[8], quads[8];
  HWY_UNROLL(4)
  for (int i = 0; i < 4; i++) {
    pairs[2 * i] = hn::InterleaveLower(d16, x[2 * i], x[2 * i + 1]);
    pairs[2 * i + 1] = hn::InterleaveUpper(d16, x[2 * i], x[2 * i + 1]);
  }
  HWY_UNROLL(2)
  for (int g = 0; g < 8; g += 4) {
    HWY_UNROLL(2)
    for (int k = 0; k < 2; k++) {
      const V32 a = hn::BitCast(d32, pairs[g + k]), b = hn::BitCast(d32, pairs[g + k + 2]);
      quads[g + 2 * k] = hn::BitCast(d16, hn::InterleaveLower(d32, a, b));
      quads[g + 2 * k + 1] = hn::BitCast(d16, hn::InterleaveUpper(d32, a, b));
    }
  }
  HWY_UNROLL(4)
  for (int i = 0; i < 4; i++) {
    const auto a = hn::BitCast(d64, quads[i]), b = hn::BitCast(d64, quads[i + 4]);
    x[2 * i] = hn::BitCast(d16, hn::InterleaveLower(d64, a, b));
    x[2 * i + 1] = hn::BitCast(d16, hn::InterleaveUpper(d64, a, b));
  }
}

// Byte shuffles that move coefficients from zigzag row `from` to row `to` of the mirrored block.
struct ZigzagShuffles {
  uint8_t bytes[8][8][16];  // [to][from]
  bool used[8][8];
};

constexpr ZigzagShuffles make_zigzag_shuffles() {
  ZigzagShuffles shuffles{};
  for (auto& to : shuffles.bytes) {
    for (auto& from : to) {
      for (uint8_t& byte : from) byte = 0x80;
    }
  }
  for (int z = 0; z < kBlockCoefficients; z++) {
    const int at = transposed(kNaturalOrder[z]), to = at >> 3, column = at & 7, from = z >> 3;
    shuffles.used[to][from] = true;
    shuffles.bytes[to][from][2 * column] = static_cast<uint8_t>(2 * (z & 7));
    shuffles.bytes[to][from][2 * column + 1] = static_cast<uint8_t>(2 * (z & 7) + 1);
  }
  return shuffles;
}
alignas(64) inline constexpr ZigzagShuffles kZigzag = make_zigzag_shuffles();

// Row `to` of the mirrored blocks out of zigzag rows kFrom to kSources - 1.
template <int kTo, int kSources, int kFrom = 0>
HWY_INLINE V16 gather_row(const V16* zigzag, V16 sum) {
  if constexpr (kFrom == kSources) {
    return sum;
  } else if constexpr (kZigzag.used[kTo][kFrom]) {
    const V8 shuffle = hn::LoadDup128(D8(), kZigzag.bytes[kTo][kFrom]);
    const V16 part = hn::BitCast(D16(), hn::TableLookupBytesOr0(hn::BitCast(D8(), zigzag[kFrom]), shuffle));
    return gather_row<kTo, kSources, kFrom + 1>(zigzag, hn::Or(sum, part));
  } else {
    return gather_row<kTo, kSources, kFrom + 1>(zigzag, sum);
  }
}

template <int kSources, int... kTo>
HWY_INLINE void dequantise(const V16* zigzag, const int16_t* quant, V16* out, std::integer_sequence<int, kTo...>) {
  ((out[kTo] = hn::Mul(gather_row<kTo, kSources>(zigzag, hn::Zero(D16())), hn::LoadDup128(D16(), quant + 8 * kTo))),
   ...);
}

// Zigzag row k of each of kBlocks blocks, side by side.
template <int kBlocks>
HWY_INLINE hn::Vec<hn::FixedTag<int16_t, 8 * kBlocks>> load_rows(const int16_t* const* blocks, int k) {
  const hn::FixedTag<int16_t, 8 * kBlocks> d;
  if constexpr (kBlocks == 1) {
    return hn::LoadU(d, blocks[0] + 8 * k);
  } else {
    return hn::Combine(d, load_rows<kBlocks / 2>(blocks + kBlocks / 2, k), load_rows<kBlocks / 2>(blocks, k));
  }
}

HWY_INLINE void transform_blocks(const int16_t* const* blocks, const int16_t* quant, uint8_t* dst, size_t dst_stride) {
  using Rows = std::make_integer_sequence<int, 8>;
  const D16 d16;
  V16 zigzag[8], x[8];
  HWY_UNROLL(8)
  for (int k = 0; k < 8; k++) zigzag[k] = load_rows<kBlocksAtOnce>(blocks, k);
  const V16 upper_half = hn::Or(hn::Or(zigzag[4], zigzag[5]), hn::Or(zigzag[6], zigzag[7]));
  if (hn::AllTrue(d16, hn::Eq(upper_half, hn::Zero(d16)))) {
    dequantise<4>(zigzag, quant, x, Rows());
  } else {
    dequantise<8>(zigzag, quant, x, Rows());
  }
  transform_columns<kColumnShift>(x, 0);
  transpose_blocks(x);
  transform_columns<kRowShift>(x, kLevelShift);
  const DHalf8 d8;
  HWY_UNROLL(8)
  for (int i = 0; i < 8; i++) hn::StoreU(hn::DemoteTo(d8, x[i]), d8, dst + static_cast<size_t>(i) * dst_stride);
}

inline void transform_row(const BlockRow& row, const int16_t* quant, uint8_t* dst, size_t dst_stride) {
  for (int k = 0; k < row.blocks; k += kBlocksAtOnce) {
    const int16_t* blocks[kBlocksAtOnce];
    for (int i = 0; i < kBlocksAtOnce; i++) blocks[i] = block_at(row, std::min(k + i, row.blocks - 1));
    transform_blocks(blocks, quant, dst + 8 * k, dst_stride);
  }
}

// ---- resize ---------------------------------------------------------------------------------------------------------

// Two vectors of bytes, even and odd ones apart so that nothing has to be unpacked.
template <bool kNegativeWeights>
struct DownSums {
  V16 even0, odd0, even1, odd1;

  // Said, since a constructor that the compiler makes for itself is not one of the target's functions.
  HWY_INLINE DownSums() { even0 = odd0 = even1 = odd1 = hn::Set(D16(), kNegativeWeights ? 1 << (kLobeBits - 1) : 128); }

  HWY_INLINE void add(const uint8_t* src, int16_t weight) {
    const D16 d;
    const DU16 du;
    const D8 d8;
    const V8 a = hn::LoadU(d8, src), b = hn::LoadU(d8, src + kVectorBytes);
    if constexpr (kNegativeWeights) {
      const V16 w = hn::Set(d, weight), a16 = hn::BitCast(d, a), b16 = hn::BitCast(d, b);
      const V16 middle = hn::Set(d, 0x7f80);
      even0 = hn::Add(even0, hn::MulFixedPoint15(hn::And(hn::ShiftLeft<7>(a16), middle), w));
      odd0 = hn::Add(odd0, hn::MulFixedPoint15(hn::And(hn::ShiftRight<1>(a16), middle), w));
      even1 = hn::Add(even1, hn::MulFixedPoint15(hn::And(hn::ShiftLeft<7>(b16), middle), w));
      odd1 = hn::Add(odd1, hn::MulFixedPoint15(hn::And(hn::ShiftRight<1>(b16), middle), w));
    } else {
      const VU16 w = hn::Set(du, vertical_weight(weight)), upper = hn::Set(du, 0xff00);
      const VU16 a16 = hn::BitCast(du, a), b16 = hn::BitCast(du, b);
      even0 = hn::Add(even0, hn::BitCast(d, hn::MulHigh(hn::ShiftLeft<8>(a16), w)));
      odd0 = hn::Add(odd0, hn::BitCast(d, hn::MulHigh(hn::And(a16, upper), w)));
      even1 = hn::Add(even1, hn::BitCast(d, hn::MulHigh(hn::ShiftLeft<8>(b16), w)));
      odd1 = hn::Add(odd1, hn::BitCast(d, hn::MulHigh(hn::And(b16, upper), w)));
    }
  }

  static HWY_INLINE V8 to_bytes(V16 even, V16 odd) {
    const D16 d;
    const DU16 du;
    if constexpr (kNegativeWeights) {
      const V16 zero = hn::Zero(d), most = hn::Set(d, 255);
      even = hn::Min(hn::Max(hn::ShiftRight<kLobeBits>(even), zero), most);
      odd = hn::Min(hn::Max(hn::ShiftRight<kLobeBits>(odd), zero), most);
      return hn::BitCast(D8(), hn::Or(even, hn::ShiftLeft<8>(odd)));
    } else {
      const VU16 low = hn::ShiftRight<8>(hn::BitCast(du, even)),
                 high = hn::And(hn::BitCast(du, odd), hn::Set(du, 0xff00));
      return hn::BitCast(D8(), hn::Or(low, high));
    }
  }

  HWY_INLINE void store(uint8_t* dst) const {
    hn::StoreU(to_bytes(even0, odd0), D8(), dst);
    hn::StoreU(to_bytes(even1, odd1), D8(), dst + kVectorBytes);
  }
};

template <bool kNegativeWeights>
HWY_INLINE void sum_down(const uint8_t* src, size_t stride, int width, const int16_t* weight, int count,
                         uint8_t* line) {
  for (int x = 0; x < width; x += 2 * kVectorBytes) {
    DownSums<kNegativeWeights> sums;
    const uint8_t* at = src + x;
    for (int j = 0; j < count; j++, at += stride) sums.add(at, weight[j]);
    sums.store(line + x);
  }
}

// 16 bytes of the line for each of kWindows windows.
template <int kWindows>
HWY_INLINE hn::Vec<hn::FixedTag<uint8_t, kWindowBytes * kWindows>> load_windows(const uint8_t* line, const int* base) {
  const hn::FixedTag<uint8_t, kWindowBytes * kWindows> d;
  if constexpr (kWindows == 1) {
    return hn::LoadU(d, line + base[0]);
  } else {
    return hn::Combine(d, load_windows<kWindows / 2>(line, base + kWindows / 2),
                       load_windows<kWindows / 2>(line, base));
  }
}

HWY_INLINE void sum_across_windows(const uint8_t* line, const HorizontalPlan& plan, int16_t* dst) {
  constexpr int kWindowsAtOnce = kVectorBytes / kWindowBytes;
  constexpr int kPairBytes = kWindowsPerGroup * kWindowBytes;
  const D8 d8;
  const D16 d16;
  const D32 d32;
  const DHalf16 d_out;
  const V32 half = hn::Set(d32, kHorizontalHalf);
  const uint8_t* shuffle = plan.shuffle.data();
  const int16_t* weight = plan.weight.data();
  const int* base = plan.base.data();
  for (int pairs : plan.pairs) {
    for (int w = 0; w < kWindowsPerGroup; w += kWindowsAtOnce, base += kWindowsAtOnce, dst += kVectorBytes / 4) {
      const V8 window = load_windows<kWindowsAtOnce>(line, base);
      V32 sum = hn::Zero(d32), odd = hn::Zero(d32);
      for (int k = 0; k < pairs; k++) {
        const int at = k * kPairBytes + w * kWindowBytes;
        const V16 samples = hn::BitCast(d16, hn::TableLookupBytesOr0(window, hn::LoadU(d8, shuffle + at)));
        sum = hn::ReorderWidenMulAccumulate(d32, samples, hn::LoadU(d16, weight + at / 2), sum, odd);
      }
      sum = hn::ShiftRight<kHorizontalShift>(hn::Add(hn::RearrangeToOddPlusEven(sum, odd), half));
      hn::StoreU(hn::DemoteTo(d_out, sum), d_out, dst);
    }
    shuffle += pairs * kPairBytes;
    weight += pairs * kPairBytes / 2;
  }
}

// Where four outputs reach further than 16 bytes: one dot product per output.
HWY_INLINE void sum_across_wide(const uint8_t* line, const HorizontalPlan& plan, int16_t* dst) {
  static_assert(kWideTapAlign % kLanes16 == 0, "weights are padded to whole vectors");
  const D16 d16;
  const D32 d32;
  const DHalf8 d8;
  const PlanarTaps& taps = *plan.taps;
  for (int i = 0; i < plan.outputs; i++) {
    const int o = std::min(i, taps.outputs - 1);
    const uint8_t* src = line + taps.first[static_cast<size_t>(o)];
    const int16_t* weight = &plan.wide[static_cast<size_t>(o) * static_cast<size_t>(plan.wide_stride)];
    V32 sum = hn::Zero(d32), odd = hn::Zero(d32);
    for (int j = 0; j < taps.count[static_cast<size_t>(o)]; j += kLanes16) {
      const V16 samples = hn::PromoteTo(d16, hn::LoadU(d8, src + j));
      sum = hn::ReorderWidenMulAccumulate(d32, samples, hn::LoadU(d16, weight + j), sum, odd);
    }
    const int32_t total = hn::GetLane(hn::SumOfLanes(d32, hn::RearrangeToOddPlusEven(sum, odd)));
    dst[i] = static_cast<int16_t>((total + kHorizontalHalf) >> kHorizontalShift);
  }
}

// One component's share of output row `o`.
HWY_INLINE void resize_line(const RenderJob& job, const RenderPlane& plane, int o, int16_t* out) {
  const PlanarTaps& down = *plane.down;
  const int count = down.count[static_cast<size_t>(o)];
  const uint8_t* src = source_line(plane, down.first[static_cast<size_t>(o)]);
  if (job.negative_weights) {
    sum_down<true>(src, plane.src_stride, plane.width, down.weights_of(o), count, job.line);
  } else {
    sum_down<false>(src, plane.src_stride, plane.width, down.weights_of(o), count, job.line);
  }
  if (plane.across->windowed) {
    sum_across_windows(job.line, *plane.across, out);
  } else {
    sum_across_wide(job.line, *plane.across, out);
  }
}

// ---- colour ---------------------------------------------------------------------------------------------------------

// Calls `pixels(i, dst)`, which writes kLanes16 pixels from number i on to `dst`, so that exactly `width` are written.
template <class Pixels>
HWY_INLINE void for_each_vector(int width, uint8_t* rgb, Pixels&& pixels) {
  if (width < kLanes16) {
    uint8_t whole[3 * kLanes16];
    pixels(0, whole);
    std::memcpy(rgb, whole, 3 * static_cast<size_t>(width));
    return;
  }
  int i = 0;
  for (; i + kLanes16 <= width; i += kLanes16) pixels(i, rgb + 3 * i);
  if (i < width) pixels(width - kLanes16, rgb + 3 * (width - kLanes16));  // Overlaps what is already there.
}

inline void mix_colours(const int16_t* y, const int16_t* cb, const int16_t* cr, int width, uint8_t* rgb) {
  const D16 d;
  const DHalf8 d8;
  const V16 middle = hn::Set(d, 128 << kSampleBits), half = hn::Set(d, 1 << (kSampleBits - 1));
  const V16 red_cr = hn::Set(d, kRedCr), blue_cb = hn::Set(d, kBlueCb), green_cb = hn::Set(d, kGreenCb),
            green_cr = hn::Set(d, kGreenCr);
  for_each_vector(width, rgb, [&](int i, uint8_t* dst) HWY_ATTR {
    const V16 luma = hn::Add(hn::LoadU(d, y + i), half);
    const V16 b = hn::ShiftLeft<1>(hn::Sub(hn::LoadU(d, cb + i), middle)),
              r = hn::ShiftLeft<1>(hn::Sub(hn::LoadU(d, cr + i), middle));
    const V16 g = hn::Add(hn::MulFixedPoint15(b, green_cb), hn::MulFixedPoint15(r, green_cr));
    const V16 red = hn::ShiftRight<kSampleBits>(hn::SaturatedAdd(luma, hn::MulFixedPoint15(r, red_cr)));
    const V16 green = hn::ShiftRight<kSampleBits>(hn::SaturatedAdd(luma, g));
    const V16 blue = hn::ShiftRight<kSampleBits>(hn::SaturatedAdd(luma, hn::MulFixedPoint15(b, blue_cb)));
    hn::StoreInterleaved3(hn::DemoteTo(d8, red), hn::DemoteTo(d8, green), hn::DemoteTo(d8, blue), d8, dst);
  });
}

inline void spread_gray(const int16_t* y, int width, uint8_t* rgb) {
  const D16 d;
  const DHalf8 d8;
  const V16 half = hn::Set(d, 1 << (kSampleBits - 1));
  for_each_vector(width, rgb, [&](int i, uint8_t* dst) HWY_ATTR {
    const auto gray = hn::DemoteTo(d8, hn::ShiftRight<kSampleBits>(hn::Add(hn::LoadU(d, y + i), half)));
    hn::StoreInterleaved3(gray, gray, gray, d8, dst);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace imgpack::jpeg
HWY_AFTER_NAMESPACE();
