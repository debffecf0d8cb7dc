// The pixel kernels without SIMD; included by pixel_kernels.cc for targets that have none.

HWY_BEFORE_NAMESPACE();
namespace imgpack::jpeg {
namespace HWY_NAMESPACE {

inline void transform_block(const int16_t* zigzag, const int16_t* quant, uint8_t* dst, size_t dst_stride) {
  int16_t mirrored[kBlockCoefficients], half_done[kBlockCoefficients];
  for (int z = 0; z < kBlockCoefficients; z++) {
    const int at = transposed(kNaturalOrder[z]);
    mirrored[at] = scalar::wrap16(zigzag[z] * quant[at]);
  }
  for (int row = 0; row < 8; row++) {
    int16_t in[8], out[8];
    for (int i = 0; i < 8; i++) in[i] = mirrored[8 * i + row];
    scalar::transform_eight<kColumnShift>(in, 0, out);
    for (int i = 0; i < 8; i++) half_done[8 * i + row] = out[i];
  }
  for (size_t column = 0; column < 8; column++) {
    int16_t out[8];
    scalar::transform_eight<kRowShift>(half_done + 8 * column, kLevelShift, out);
    for (size_t i = 0; i < 8; i++) dst[i * dst_stride + column] = scalar::saturate8(out[i]);
  }
}

inline void transform_row(const BlockRow& row, const int16_t* quant, uint8_t* dst, size_t dst_stride) {
  for (int k = 0; k < row.blocks; k++) transform_block(block_at(row, k), quant, dst + 8 * k, dst_stride);
}

inline uint8_t sum_down(const uint8_t* src, size_t stride, const int16_t* weight, int count, bool negative_weights) {
  if (negative_weights) {
    int16_t sum = 1 << (kLobeBits - 1);
    for (int j = 0; j < count; j++, src += stride) {
      sum = scalar::wrap16(sum + scalar::multiply_round15(static_cast<int16_t>(*src << 7), weight[j]));
    }
    return scalar::saturate8(sum >> kLobeBits);
  }
  uint16_t sum = 128;
  for (int j = 0; j < count; j++, src += stride) {
    sum = static_cast<uint16_t>(sum + ((static_cast<uint32_t>(*src) << 8) * vertical_weight(weight[j]) >> 16));
  }
  return static_cast<uint8_t>(sum >> 8);
}

// One component's share of output row `o`.
inline void resize_line(const RenderJob& job, const RenderPlane& plane, int o, int16_t* out) {
  const PlanarTaps& down = *plane.down;
  const uint8_t* src = source_line(plane, down.first[static_cast<size_t>(o)]);
  for (int x = 0; x < plane.width; x++) {
    job.line[x] = sum_down(src + x, plane.src_stride, down.weights_of(o), down.count[static_cast<size_t>(o)],
                           job.negative_weights);
  }
  const PlanarTaps& across = *plane.across->taps;
  for (int i = 0; i < across.outputs; i++) {
    const uint8_t* in = job.line + across.first[static_cast<size_t>(i)];
    int32_t sum = kHorizontalHalf;
    for (int j = 0; j < across.count[static_cast<size_t>(i)]; j++) sum += in[j] * across.weights_of(i)[j];
    out[i] = scalar::saturate16(sum >> kHorizontalShift);
  }
}

inline void mix_colours(const int16_t* y, const int16_t* cb, const int16_t* cr, int width, uint8_t* rgb) {
  constexpr int16_t kMiddle = 128 << kSampleBits, kHalf = 1 << (kSampleBits - 1);
  for (int i = 0; i < width; i++, rgb += 3) {
    const int16_t luma = scalar::wrap16(y[i] + kHalf);
    const int16_t blue = scalar::wrap16((cb[i] - kMiddle) * 2), red = scalar::wrap16((cr[i] - kMiddle) * 2);
    const int16_t green =
        scalar::wrap16(scalar::multiply_round15(blue, kGreenCb) + scalar::multiply_round15(red, kGreenCr));
    rgb[0] = scalar::saturate8(scalar::saturate16(luma + scalar::multiply_round15(red, kRedCr)) >> kSampleBits);
    rgb[1] = scalar::saturate8(scalar::saturate16(luma + green) >> kSampleBits);
    rgb[2] = scalar::saturate8(scalar::saturate16(luma + scalar::multiply_round15(blue, kBlueCb)) >> kSampleBits);
  }
}

inline void spread_gray(const int16_t* y, int width, uint8_t* rgb) {
  for (int i = 0; i < width; i++, rgb += 3) {
    rgb[0] = rgb[1] = rgb[2] = scalar::saturate8(scalar::wrap16(y[i] + (1 << (kSampleBits - 1))) >> kSampleBits);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace imgpack::jpeg
HWY_AFTER_NAMESPACE();
